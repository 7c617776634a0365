"""The repository, and the key that its index must be signed with."""

from __future__ import annotations

from refstack_install import files, repositories
from refstack_install.backends.base import PackageManager, Repository
from refstack_install.errors import VerifyError
from refstack_install.files import Wanted
from refstack_install.step import Change, Context, Record, Step
from refstack_install.steps.packages import WORKER


class RepositoryStep(Step):
    """Key and source, and a first look at the index."""

    name = "repository"
    title = "package repository and its key"

    def __init__(self, context: Context, manager: PackageManager) -> None:
        super().__init__(context)
        self.manager = manager

    def check(self) -> list[Change]:
        repository = self._repository()
        changes = [
            Change(str(wanted.path), _shown(wanted, files.read(wanted.path)), _shown(wanted, wanted.content))
            for wanted in self._files(repository)
            if files.read(wanted.path) != wanted.content
        ]
        if not self.manager.knows(repository):
            changes.append(Change("package index", "", repository.url))
        return changes

    def apply(self) -> None:
        repository = self._repository()
        for wanted in self._files(repository):
            files.write(wanted)
        self.manager.refresh(repository)

    def verify(self) -> None:
        super().verify()
        if not self.manager.candidate(WORKER) and WORKER not in self.manager.installed():
            raise VerifyError(
                f"{self._repository().url} offers no {WORKER} for this distribution",
                todo="check repository.url and repository.suite",
            )

    def snapshot(self) -> Record:
        repository = self._repository()
        return {
            "files": [files.snapshot(wanted.path) for wanted in self._files(repository)],
            "url": repository.url,
            "known": self.manager.knows(repository),
        }

    def undo(self, record: Record) -> None:
        for file in record["files"]:
            files.restore(file)
        if not record["known"]:
            self.manager.forget(Repository(record["url"], "", "", b""))

    def _repository(self) -> Repository:
        return repositories.of(self.system, self.answers, self.manager)

    def _files(self, repository: Repository) -> list[Wanted]:
        wanted = self.manager.repository_files(repository)
        if self.manager.owns(self.manager.key_path):
            return [file for file in wanted if file.path != self.system.path(self.manager.key_path)]
        return wanted


def _shown(wanted: Wanted, content: bytes | None) -> str:
    """Text files are shown as they are, keys by their digest."""
    try:
        is_text = b"\0" not in wanted.content and wanted.content.decode() != ""
    except UnicodeDecodeError:
        is_text = False
    return files.describe(content, not is_text or b"BEGIN PGP" in wanted.content)
