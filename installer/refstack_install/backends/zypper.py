"""SUSE and openSUSE."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from refstack_install.backends.base import Repository
from refstack_install.backends.rpm import RpmManager, field

CACHE = "/var/cache/zypp"


class Zypper(RpmManager):
    """zypper; the key has to be in the RPM database before."""

    name = "zypper"
    repository_file = "/etc/zypp/repos.d/refstack.repo"

    def knows(self, repository: Repository) -> bool:
        return self.system.path(CACHE).joinpath("raw", "refstack", "repodata", "repomd.xml").is_file()

    def refresh(self, repository: Repository) -> None:
        self.work([*self.rpm(), "--import", str(self.system.path(self.key_path))], "importing the repository's key")
        self.work([*self.zypper(), "refresh", "--force", "refstack"], "fetching the package index")

    def forget(self, repository: Repository) -> None:
        for kind in ("raw", "solv", "packages"):
            shutil.rmtree(self.system.path(CACHE) / kind / "refstack", ignore_errors=True)

    def candidate(self, name: str) -> str:
        return field(self.system.run([*self.zypper(), "info", name]).out, "Version")

    def install(self, wanted: Mapping[str, str]) -> None:
        words = self.words(wanted, "=")
        self.work(
            [*self.zypper(), "install", "--no-recommends", "--allow-downgrade", *words], f"installing {' '.join(words)}"
        )

    def zypper(self) -> list[str]:
        """Return how zypper is called: never asking."""
        root = [] if self.system.is_live else ["--root", str(self.system.root)]
        return ["zypper", "--non-interactive", *root]
