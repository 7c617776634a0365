"""What the steps want of a package manager."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refstack_install.errors import StepError
from refstack_install.files import Wanted
from refstack_install.system import Done, System

LOCK_POLL_SECONDS = 0.5

LOCKED = re.compile(
    r"Could not get lock|lock was locked by another process|Unable to acquire the dpkg frontend lock|"
    r"System management is locked|"
    r"Failed to obtain the transaction lock|[Aa]nother app is currently holding|"
    r"can't create transaction lock|Waiting for process with pid"
)
_REASONS = (
    (LOCKED, "another package manager is at work; wait for it to end, or raise packages.lock_timeout, and run again"),
    (
        re.compile(r"No space left on device|[Nn]ot enough (free )?space|needs? \d+\s?[KMG]i?B (more space )?on the"),
        "free space (below /var above all) and run again",
    ),
    (
        re.compile(
            r"NO_PUBKEY|not signed|BADSIG|EXPKEYSIG|REVKEYSIG|invalid signature|signatures? (couldn't be verified|"
            r"were invalid|verification failed)|GPG check FAILED|repomd.xml GPG|Missing key|key .* is not trusted|"
            r"Sub-process /usr/bin/sqv",
            re.I,
        ),
        "the repository is not signed with the key given; check repository.key and repository.fingerprint",
    ),
    (
        re.compile(
            r"Unable to locate package|Version '.*' for '.*' was not found|has no installation candidate|"
            r"No match for argument|Unable to find a match|No provider of|not found in package names"
        ),
        "the repository does not have that; check repository.url, packages.version and tempest.versions",
    ),
    (
        re.compile(
            r"Failed to fetch|Could not (resolve|connect|open)|Temporary failure|Connection (refused|timed out)|"
            r"does not have a Release file|Cannot download|Curl error|File not found|Failed to download metadata|"
            r"\b404\b|Valid metadata not found"
        ),
        "the repository cannot be reached; check repository.url, the network and the proxy settings",
    ),
)


@dataclass(frozen=True)
class Repository:
    """Where the packages come from, and the key that signs them."""

    url: str
    suite: str
    component: str
    key: bytes
    """The public key, binary."""
    complete: bool = False
    """It holds all that its packages depend on: no other repository is asked (a bundle)."""


class PackageManager(ABC):
    """apt, dnf or zypper."""

    name: str
    key_path: str
    """Where the repository's key lies; the keyring package, once installed, owns the same file."""

    def __init__(self, system: System, lock_timeout: int) -> None:
        self.system = system
        self.lock_timeout = lock_timeout

    @abstractmethod
    def installed(self) -> Mapping[str, str]:
        """Return name to version of what is installed completely."""

    @abstractmethod
    def repository_files(self, repository: Repository) -> list[Wanted]:
        """Return the files that make the repository known."""

    @abstractmethod
    def knows(self, repository: Repository) -> bool:
        """Whether the repository's index has been fetched."""

    @abstractmethod
    def refresh(self, repository: Repository) -> None:
        """Fetch the repository's index and check its signature. :raises StepError: not reachable, or wrongly signed."""

    @abstractmethod
    def forget(self, repository: Repository) -> None:
        """Remove what :meth:`refresh` left on the disk."""

    @abstractmethod
    def candidate(self, name: str) -> str:
        """Return the newest version that the known repositories offer, or nothing."""

    @abstractmethod
    def install(self, wanted: Mapping[str, str]) -> None:
        """Install names, each with a version (empty: the newest). :raises StepError: it failed."""

    @abstractmethod
    def remove(self, names: Sequence[str]) -> None:
        """Remove packages with their configuration and data; others stay. :raises StepError: it failed."""

    @abstractmethod
    def is_clean(self) -> bool:
        """Whether no package is half installed."""

    @abstractmethod
    def recover(self) -> None:
        """Bring the package database in order after an interruption. :raises StepError: it failed."""

    @abstractmethod
    def owns(self, path: str) -> bool:
        """Whether an installed package put this file there."""

    def work(self, argv: Sequence[str], what: str, **extra: str) -> Done:
        """Call the package manager, waiting for its lock. :raises StepError: it failed; says why and what to do."""
        deadline = time.monotonic() + self.lock_timeout
        while True:
            done = self.system.package_manager(argv, **extra)
            if done.status == 0:
                return done
            if not LOCKED.search(done.err + done.out) or time.monotonic() > deadline:
                raise explained(what, done)
            time.sleep(LOCK_POLL_SECONDS)


def explained(what: str, done: Done) -> StepError:
    """Return the error for a package manager's failure, with what to do about it."""
    text = done.err + done.out
    todo = next((todo for pattern, todo in _REASONS if pattern.search(text)), "look at its output above and run again")
    return StepError(f"{what} failed ({done.argv[0]}: status {done.status})", _telling(done), todo)


def same_version(installed: str, wanted: str) -> bool:
    """Whether an installed package version is the wanted one; the wanted one may leave epoch and revision out."""
    if installed == wanted:
        return True
    upstream = installed.split(":", 1)[-1]
    return upstream == wanted or upstream.rsplit("-", 1)[0] == wanted


def _telling(done: Done) -> str:
    lines = [line.strip() for line in (done.err + "\n" + done.out).splitlines()]
    errors = [line for line in lines if re.match(r"(E:|W:|Error|dpkg: error|error:|Err:|cannot )", line)]
    return " | ".join(dict.fromkeys(errors))[:1000] or done.said[-500:].replace("\n", " | ")
