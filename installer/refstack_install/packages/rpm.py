"""The RPM database and repository files, common to dnf and zypper."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from refstack_install.files import TargetFile
from refstack_install.packages.manager import PackageManager, Repository
from refstack_install.packages.openpgp import armor

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-refstack"


class RpmManager(PackageManager):
    """A package manager that uses RPM."""

    key_path = KEY
    repository_file: str

    def installed(self) -> Mapping[str, str]:
        form = "%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n"
        rows = [line.split("\t") for line in self.system.must([*self.rpm(), "-qa", "--qf", form]).out.splitlines()]
        return {row[0]: row[1] for row in rows if len(row) == 2 and row[0] != "gpg-pubkey"}

    def repository_files(self, repository: Repository) -> list[TargetFile]:
        """Return the key and a repository that must have its packages and its index signed with it."""
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
            TargetFile(self.system.path(self.key_path), armor(repository.key)),
            TargetFile(self.system.path(self.repository_file), text.encode()),
        ]

    def is_clean(self) -> bool:
        return True

    def recover(self) -> None:
        """Do nothing: an interrupted RPM transaction leaves complete packages."""

    def owns(self, path: str) -> bool:
        return self.system.run([*self.rpm(), "-qf", path]).status == 0

    def rpm(self) -> list[str]:
        """Return the rpm command for this root."""
        return ["rpm"] if self.system.is_live else ["rpm", "--root", str(self.system.root)]

    def remove(self, names: Sequence[str]) -> None:
        """Remove exactly these packages; RPM refuses if another package needs one of them."""
        if names:
            self.work([*self.rpm(), "-e", *names], f"removing {' '.join(names)}")

    @abstractmethod
    def forget(self, repository: Repository) -> None: ...

    @staticmethod
    def words(requested: Mapping[str, str], separator: str) -> list[str]:
        """Return the packages as command line arguments."""
        return [f"{name}{separator}{version}" if version else name for name, version in requested.items()]


def field(text: str, name: str) -> str:
    """Return the value of a ``Name : value`` line."""
    match = re.search(rf"^{name}\s*:\s*(\S+)", text, re.M)
    return match.group(1) if match else ""
