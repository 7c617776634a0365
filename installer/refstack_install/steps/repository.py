"""Configures the repository with its key, and fetches its index."""

from __future__ import annotations

from contextlib import suppress

from refstack_install import files, openpgp
from refstack_install.errors import AnswersError, VerifyError
from refstack_install.files import Record, TargetFile
from refstack_install.package_names import WORKER
from refstack_install.packages.manager import PackageManager, Repository, TrustedKeys
from refstack_install.packages.repository import from_answers
from refstack_install.step import Change, Context, Step


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
            for target in self.manager.repository_files(repository)
            if files.read(target.path) != target.content
        ]
        if not self.manager.knows(repository):
            changes.append(Change("package index", "", repository.url))
        return changes

    def apply(self) -> None:
        repository = self._repository()
        before = self._fingerprints()
        for target in self.manager.repository_files(repository):
            files.write(target)
        self.manager.distrust(before - self._fingerprints())
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
            "files": [files.snapshot(target.path) for target in self.manager.repository_files(repository)],
            "url": repository.url,
            "known": self.manager.knows(repository),
            "trusted": self.manager.trusted(),
        }

    def undo(self, record: Record) -> None:
        ours = self._fingerprints()
        for file in record["files"]:
            files.restore(file)
        # journals of earlier versions do not list the keys that were there before
        if "trusted" in record:
            self.manager.distrust(ours - self._fingerprints(), keep=record["trusted"])
        if not record["known"]:
            self.manager.forget(Repository(record["url"], "", "", TrustedKeys(b"", "")))

    def _fingerprints(self) -> set[str]:
        """Return the keys in the installer's own key files."""
        paths = [path for path in (self.manager.key_path, self.manager.own_key_path) if not self.manager.owns(path)]
        present: set[str] = set()
        for path in paths:
            with suppress(AnswersError):  # it is about to be replaced
                present.update(openpgp.fingerprints(files.read(self.system.path(path)) or b""))
        return present

    def _repository(self) -> Repository:
        return from_answers(self.system, self.answers, self.manager)


def _shown(target: TargetFile, content: bytes | None) -> str:
    """Show text files in full and keys by their digest."""
    try:
        is_text = b"\0" not in target.content and target.content.decode() != ""
    except UnicodeDecodeError:
        is_text = False
    return files.describe(content, not is_text or b"BEGIN PGP" in target.content)
