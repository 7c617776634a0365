"""Configures the repository with its key, and fetches its index."""

from __future__ import annotations

from refstack_install import files
from refstack_install.errors import VerifyError
from refstack_install.files import Record, TargetFile
from refstack_install.packages import repository as repositories
from refstack_install.packages.manager import PackageManager, Repository
from refstack_install.step import Change, Context, Step
from refstack_install.steps.packages import WORKER


class RepositoryStep(Step):
    """The repository's key, source and index."""

    name = "repository"
    title = "package repository and its key"

    def __init__(self, context: Context, manager: PackageManager) -> None:
        super().__init__(context)
        self.manager = manager

    def check(self) -> list[Change]:
        repository = self._repository()
        changes = [
            Change(str(target.path), _shown(target, files.read(target.path)), _shown(target, target.content))
            for target in self._files(repository)
            if files.read(target.path) != target.content
        ]
        if not self.manager.knows(repository):
            changes.append(Change("package index", "", repository.url))
        return changes

    def apply(self) -> None:
        repository = self._repository()
        for target in self._files(repository):
            files.write(target)
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
            "files": [files.snapshot(target.path) for target in self._files(repository)],
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

    def _files(self, repository: Repository) -> list[TargetFile]:
        targets = self.manager.repository_files(repository)
        if self.manager.owns(self.manager.key_path):
            return [file for file in targets if file.path != self.system.path(self.manager.key_path)]
        return targets


def _shown(target: TargetFile, content: bytes | None) -> str:
    """Show text files in full and keys by their digest."""
    try:
        is_text = b"\0" not in target.content and target.content.decode() != ""
    except UnicodeDecodeError:
        is_text = False
    return files.describe(content, not is_text or b"BEGIN PGP" in target.content)
