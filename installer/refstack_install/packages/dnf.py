"""Fedora, EL 9 and their derivatives."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from refstack_install.packages.manager import Repository
from refstack_install.packages.rpm import RpmManager

CACHE = "/var/cache/dnf"


class Dnf(RpmManager):
    """dnf 4 and 5."""

    name = "dnf"
    repository_file = "/etc/yum.repos.d/refstack.repo"

    def knows(self, repository: Repository) -> bool:
        return any(self.system.path(CACHE).glob("refstack-*/repodata/repomd.xml"))

    def refresh(self, repository: Repository) -> None:
        self.work(
            [*self.dnf(), "--repo=refstack", "--refresh", "--setopt=refstack.skip_if_unavailable=False", "makecache"],
            "fetching the package index",
        )

    def forget(self, repository: Repository) -> None:
        for path in self.system.path(CACHE).glob("refstack*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def candidate(self, name: str) -> str:
        form = "%{version}-%{release}\n"
        done = self.system.run([*self.dnf(), "-C", "repoquery", "--latest-limit=1", "--qf", form, name])
        lines = done.out.split()
        return lines[-1] if done.status == 0 and lines else ""

    def install(self, requested: Mapping[str, str]) -> None:
        words = self.words(requested, "-")
        installed = self.installed()
        names = [name for name, version in requested.items() if not version and name in installed]
        # an exact version may be newer than the node's index
        fresh = ["--refresh"] if any(requested.values()) else []
        self.work([*self.dnf(), *fresh, "install", *words], f"installing {' '.join(words)}")
        if names:
            self.work([*self.dnf(), "upgrade", *names], f"upgrading {' '.join(names)}")

    def dnf(self) -> list[str]:
        """Return the dnf command: no questions, and it fails on a lock (we do the waiting)."""
        key = f"--setopt=refstack.gpgkey=file://{self.system.path(self.key_path)}"
        root = [] if self.system.is_live else [f"--installroot={self.system.root}", "--releasever=9", key]
        return [
            "dnf",
            "-y",
            "-q",
            *root,
            "--setopt=install_weak_deps=False",
            "--setopt=exit_on_lock=True",
            "--setopt=best=True",
        ]
