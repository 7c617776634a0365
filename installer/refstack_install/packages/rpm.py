"""The RPM database and repository files, common to dnf and zypper."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

from refstack_install.files import TargetFile
from refstack_install.openpgp import armor
from refstack_install.packages.manager import PackageManager, Repository


class RpmManager(PackageManager):
    """A package manager that uses RPM."""

    key_path = "/etc/pki/rpm-gpg/RPM-GPG-KEY-refstack"
    own_key_path = "/etc/pki/rpm-gpg/RPM-GPG-KEY-refstack-install"
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
            f"gpgkey=file://{repository.keys.path}\n"
        )
        source = TargetFile(self.system.path(self.repository_file), text.encode())
        if repository.keys.is_packaged:
            return [source]
        return [TargetFile(self.system.path(repository.keys.path), armor(repository.keys.content)), source]

    def trusted(self) -> list[str]:
        form = "%{NAME}-%{VERSION}-%{RELEASE}\n"
        done = self.system.run([*self.rpm(), "-q", "gpg-pubkey", "--qf", form])
        return [name for name in done.out.split() if name.startswith("gpg-pubkey-")]

    def distrust(self, fingerprints: Collection[str], keep: Collection[str] = ()) -> None:
        """Remove keys from the RPM database, which names each by the end of its fingerprint (RPM 6: by all of it)."""
        ours = {name for name in self.trusted() if any(f.lower().endswith(_id(name)) for f in fingerprints)}
        for name in sorted(ours - set(keep)):
            self.work([*self.rpm(), "-e", name], f"removing the key {name} from the RPM database")

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


def _id(name: str) -> str:
    """Return the key's part of ``gpg-pubkey-<id>-<time>``."""
    return name.split("-")[2]


def field(text: str, name: str) -> str:
    """Return the value of a ``Name : value`` line."""
    match = re.search(rf"^{name}\s*:\s*(\S+)", text, re.M)
    return match.group(1) if match else ""
