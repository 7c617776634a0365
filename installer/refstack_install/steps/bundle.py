"""Unpacks the bundle where the package manager reads it as a repository."""

from __future__ import annotations

from pathlib import Path

from refstack_install import files
from refstack_install.bundle import archive
from refstack_install.files import Record
from refstack_install.step import Change, Context, Step


class BundleStep(Step):
    """The bundle for sites without internet. Without ``--bundle`` there is nothing to do."""

    name = "bundle"
    title = "bundle of packages"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.folder = self.system.path(archive.FOLDER)
        self.old = self.folder.with_name("bundle.old")

    def check(self) -> list[Change]:
        file = self.answers.text("bundle.file")
        present = files.read(self.folder / archive.MANIFEST)
        if not file or (present is not None and not Path(file).exists()):
            return []
        if present == archive.manifest_of(Path(file)):
            return []
        return [Change(str(self.folder), "another bundle" if present else "", file)]

    def apply(self) -> None:
        fresh = self.folder.with_name("bundle.new")
        files.remove_tree(fresh)
        archive.extract(
            Path(self.answers.text("bundle.file")), fresh, self.answers.names("repository.fingerprint"), self.system
        )
        if self.folder.exists():
            files.remove_tree(self.old)
            self.folder.rename(self.old)
        fresh.rename(self.folder)

    def snapshot(self) -> Record:
        return {"present": self.folder.exists()}

    def settle(self, record: Record) -> Record:
        files.remove_tree(self.old)
        return record

    def undo(self, record: Record) -> None:
        files.remove_tree(self.folder.with_name("bundle.new"))
        if not record["present"]:
            files.remove_tree(self.folder)
        elif self.old.exists():
            files.remove_tree(self.folder)
            self.old.rename(self.folder)
