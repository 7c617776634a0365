"""What dnf and zypper have in common: the RPM database and repository files."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from refstack_install.backends.base import PackageManager, Repository
from refstack_install.files import Wanted
from refstack_install.openpgp import armor

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-refstack"


class RpmManager(PackageManager):
    """A package manager over RPM."""

    key_path = KEY
    repository_file: str

    def installed(self) -> Mapping[str, str]:
        form = "%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n"
        rows = [line.split("\t") for line in self.system.must([*self.rpm(), "-qa", "--qf", form]).out.splitlines()]
        return {row[0]: row[1] for row in rows if len(row) == 2 and row[0] != "gpg-pubkey"}

    def repository_files(self, repository: Repository) -> list[Wanted]:
        """Return the key and a repository whose packages and whose index must be signed with it."""
        text = (
            "# written by refstack-install\n"
            "[refstack]\n"
            "name=refstack-worker\n"
            f"baseurl={repository.url}\n"
            "enabled=1\n"
            "gpgcheck=1\n"
            "repo_gpgcheck=1\n"
            f"gpgkey=file://{self.key_path}\n"
        )
        return [
            Wanted(self.system.path(self.key_path), armor(repository.key)),
            Wanted(self.system.path(self.repository_file), text.encode()),
        ]

    def is_clean(self) -> bool:
        return True

    def recover(self) -> None:
        """Rebuild nothing: a transaction of RPM's that was cut off leaves complete packages; duplicates go."""

    def owns(self, path: str) -> bool:
        return self.system.run([*self.rpm(), "-qf", path]).status == 0

    def rpm(self) -> list[str]:
        """Return how rpm is called for this root."""
        return ["rpm"] if self.system.is_live else ["rpm", "--root", str(self.system.root)]

    def remove(self, names: Sequence[str]) -> None:
        """Remove exactly these; RPM itself refuses when something else needs one of them."""
        if names:
            self.work([*self.rpm(), "-e", *names], f"removing {' '.join(names)}")

    @abstractmethod
    def forget(self, repository: Repository) -> None: ...

    @staticmethod
    def words(wanted: Mapping[str, str], between: str) -> list[str]:
        """Return what names the packages on a command line."""
        return [f"{name}{between}{version}" if version else name for name, version in wanted.items()]


def field(text: str, name: str) -> str:
    """Return a field of ``Name : value`` lines."""
    found = re.search(rf"^{name}\s*:\s*(\S+)", text, re.M)
    return found.group(1) if found else ""
