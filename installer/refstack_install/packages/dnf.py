"""Fedora, EL 9 and their derivatives."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from refstack_install import files
from refstack_install.bundle.archive import FOLDER as BUNDLE
from refstack_install.openpgp import armor
from refstack_install.packages.manager import Repository
from refstack_install.packages.rpm import RpmManager

RELEASE = "--releasever=9"
"""A tree that is installed into does not say its own release before it has one."""
QUERY = ("repoquery", "--show-duplicates", "--qf", "%{name} %{version}-%{release}\n")
CACHES = ("/var/cache/dnf", "/var/cache/libdnf5")
"""Of dnf 4 and 5."""


class Dnf(RpmManager):
    name = "dnf"
    repository_file = "/etc/yum.repos.d/refstack.repo"

    def knows(self, repository: Repository) -> bool:
        return any(self._cached("refstack-*/repodata/repomd.xml"))

    def refresh(self, repository: Repository) -> None:
        # dnf keeps the keys that an index was once checked with, also those that are not trusted any more
        for keys in self._cached("refstack-*/pubring"):
            shutil.rmtree(keys)
        self.work(
            [*self.dnf(), "--repo=refstack", "--refresh", "--setopt=refstack.skip_if_unavailable=False", "makecache"],
            "fetching the package index",
        )

    def forget(self, repository: Repository) -> None:
        for path in self._cached("refstack*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def candidate(self, name: str) -> str:
        form = "%{version}-%{release}\n"
        done = self.system.run([*self.dnf(), "-C", "repoquery", "--latest-limit=1", "--qf", form, name])
        lines = done.out.split()
        return lines[-1] if done.status == 0 and lines else ""

    def offered(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _versions(self.system.run([*self.dnf(), "-C", *QUERY, *names]).out)

    def look_up(self, repository: Repository, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        with tempfile.TemporaryDirectory(prefix="refstack-dnf-") as folder:
            scratch = Path(folder)
            (scratch / "keys.asc").write_bytes(armor(repository.keys.content))
            options = [
                # not below the tree that is installed into: it must stay as it is
                *([] if self.system.is_live else [RELEASE]),
                f"--setopt=cachedir={scratch}/cache",
                f"--repofrompath=refstack-look-up,{repository.url}",
                "--repo=refstack-look-up",
                f"--setopt=refstack-look-up.gpgkey=file://{scratch}/keys.asc",
                "--setopt=refstack-look-up.repo_gpgcheck=True",
                "--setopt=refstack-look-up.skip_if_unavailable=False",
            ]
            return _versions(self.work(["dnf", "-y", "-q", *options, *QUERY, *names], "fetching the package index").out)

    def install(self, requested: Mapping[str, str]) -> None:
        words = self.words(requested, "-")
        installed = self.installed()
        names = [name for name, version in requested.items() if not version and name in installed]
        # an exact version may be newer than the node's index
        fresh = ["--refresh"] if any(requested.values()) else []
        self.work([*self.dnf(), *fresh, "install", *words], f"installing {' '.join(words)}")
        if names:
            self.work([*self.dnf(), "upgrade", *names], f"upgrading {' '.join(names)}")

    def _cached(self, pattern: str) -> list[Path]:
        return [path for cache in CACHES for path in self.system.path(cache).glob(pattern)]

    def dnf(self) -> list[str]:
        """Return the dnf command: no questions, and it fails on a lock (we do the waiting)."""
        tree = [f"--installroot={self.system.root}", RELEASE, *self._files_below_root()]
        root = [] if self.system.is_live else tree
        return [
            "dnf",
            "-y",
            "-q",
            *root,
            "--setopt=install_weak_deps=False",
            "--setopt=exit_on_lock=True",
            "--setopt=best=True",
        ]

    def _files_below_root(self) -> list[str]:
        """Return the options that make dnf read key and bundle from the tree that it installs into."""
        text = (files.read(self.system.path(self.repository_file)) or b"").decode()
        places = re.findall(rf"^(gpgkey)=file://(\S+)$|^(baseurl)=file://({BUNDLE}/\S+)$", text, re.M)
        pairs = [[word for word in place if word] for place in places]
        return [f"--setopt=refstack.{name}=file://{self.system.path(path)}" for name, path in pairs]


def _versions(rows: str) -> dict[str, list[str]]:
    """Return the versions of each package in ``name version`` lines."""
    versions: dict[str, list[str]] = {}
    for row in rows.splitlines():
        if len(words := row.split()) == 2:
            versions.setdefault(words[0], []).append(words[1])
    return versions
