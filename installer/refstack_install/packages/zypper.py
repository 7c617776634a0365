"""zypper: SUSE Linux Enterprise and openSUSE."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from refstack_install.packages.manager import Repository
from refstack_install.packages.rpm import RpmManager, field

CACHE = "/var/cache/zypp"


class Zypper(RpmManager):
    """zypper. The key must be in the RPM database first."""

    name = "zypper"
    repository_file = "/etc/zypp/repos.d/refstack.repo"

    def knows(self, repository: Repository) -> bool:
        return self.system.path(CACHE).joinpath("raw", "refstack", "repodata", "repomd.xml").is_file()

    def refresh(self, repository: Repository) -> None:
        key = str(self.system.path(repository.keys.path))
        self.work([*self.rpm(), "--import", key], "importing the repository's key")
        self.work([*self.zypper(), "refresh", "--force", "refstack"], "fetching the package index")

    def forget(self, repository: Repository) -> None:
        for kind in ("raw", "solv", "packages"):
            shutil.rmtree(self.system.path(CACHE) / kind / "refstack", ignore_errors=True)

    def candidate(self, name: str) -> str:
        return field(self.system.run([*self.zypper(), "info", name]).out, "Version")

    def offered(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        versions = {name: self.candidate(name) for name in names}
        return {name: [version] for name, version in versions.items() if version}

    def install(self, requested: Mapping[str, str]) -> None:
        words = self.words(requested, "=")
        self.work(
            [*self.zypper(), "install", "--no-recommends", "--allow-downgrade", *words], f"installing {' '.join(words)}"
        )

    def zypper(self) -> list[str]:
        """Return the zypper command: no questions."""
        root = [] if self.system.is_live else ["--root", str(self.system.root)]
        return ["zypper", "--non-interactive", *root]
