"""The interface of the package managers, and what their errors mean."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from refstack_install.errors import StepError
from refstack_install.files import TargetFile
from refstack_install.system import Completed, System

LOCK_POLL_SECONDS = 0.5

LOCKED = re.compile(
    r"Could not get lock|lock was locked by another process|Unable to acquire the dpkg frontend lock|"
    r"System management is locked|"
    r"Failed to obtain the transaction lock|[Aa]nother app is currently holding|"
    r"can't create transaction lock|Waiting for process with pid"
)
_REASONS = (
    (LOCKED, "another package manager is running; wait for it, or raise packages.lock_timeout, and run again"),
    (
        re.compile(
            r"No space left on device|([Nn]ot|n't have) enough (free )?space|"
            r"needs? \d+\s?[KMG]i?B (more space )?on the"
        ),
        "free space (especially below /var) and run again",
    ),
    (
        re.compile(
            r"NO_PUBKEY|not signed|BADSIG|EXPKEYSIG|REVKEYSIG|invalid signature|signatures? (couldn't be verified|"
            r"were invalid|verification failed)|GPG check FAILED|repomd.xml GPG|Missing key|key .* is not trusted|"
            r"Sub-process /usr/bin/sqv",
            re.I,
        ),
        "the repository is not signed with the expected key; check repository.key and repository.fingerprint",
    ),
    (
        re.compile(
            r"Unable to locate package|Version '.*' for '.*' was not found|has no installation candidate|"
            r"No match for argument|Unable to find a match|No provider of|not found in package names"
        ),
        "the repository does not have this package; check repository.url, packages.version and tempest.versions",
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
class TrustedKeys:
    """The keys that a repository is trusted with, and their file on the node."""

    content: bytes
    """Binary form."""
    path: str
    is_packaged: bool = False
    """The keyring package owns the file."""


@dataclass(frozen=True)
class Repository:
    """A package repository and the keys that sign it."""

    url: str
    suite: str
    component: str
    keys: TrustedKeys
    complete: bool = False
    """It contains every dependency of its packages, so no other repository is used (a bundle)."""


class PackageManager(ABC):
    name: str
    key_path: str
    """Location of the repository's key. The keyring package owns this file once it is installed."""
    own_key_path: str
    """Location of the key if the installed keyring package belongs to another repository."""

    def __init__(self, system: System, lock_timeout: int) -> None:
        self.system = system
        self.lock_timeout = lock_timeout

    @abstractmethod
    def installed(self) -> Mapping[str, str]:
        """Return name and version of each completely installed package."""

    @abstractmethod
    def repository_files(self, repository: Repository) -> list[TargetFile]:
        """Return the files that configure the repository, except for a packaged key file."""

    @abstractmethod
    def knows(self, repository: Repository) -> bool:
        """Return whether the repository's index has been fetched."""

    @abstractmethod
    def refresh(self, repository: Repository) -> None:
        """Fetch the repository's index and check its signature. :raises StepError: unreachable, or wrongly signed."""

    def trusted(self) -> list[str]:
        """Return the names of keys in the package manager's own database; apt has none."""
        return []

    def distrust(self, fingerprints: Collection[str], keep: Collection[str] = ()) -> None:  # noqa: B027 - see trusted
        """Remove keys from that database, except for those named in ``keep`` (:meth:`trusted`)."""

    @abstractmethod
    def forget(self, repository: Repository) -> None:
        """Delete the files that :meth:`refresh` left on disk."""

    @abstractmethod
    def candidate(self, name: str) -> str:
        """Return the newest version that the known repositories offer, or an empty string."""

    @abstractmethod
    def offered(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the versions of each package in the node's indexes."""

    def look_up(self, repository: Repository, names: Sequence[str]) -> Mapping[str, Sequence[str]] | None:
        """Ask the repository for the versions of each package, without changing the node.

        :returns: None if this package manager cannot do it. :raises StepError: unreachable, or wrongly signed.
        """
        return None

    @abstractmethod
    def install(self, requested: Mapping[str, str]) -> None:
        """Install packages by name and version (empty: the newest). :raises StepError: it failed."""

    @abstractmethod
    def remove(self, names: Sequence[str]) -> None:
        """Remove packages with their configuration and data, and no others. :raises StepError: it failed."""

    @abstractmethod
    def is_clean(self) -> bool:
        """Return whether no package is half installed."""

    @abstractmethod
    def recover(self) -> None:
        """Repair the package database after an interruption. :raises StepError: it failed."""

    @abstractmethod
    def owns(self, path: str) -> bool:
        """Return whether an installed package owns this file."""

    def work(self, argv: Sequence[str], what: str, **extra: str) -> Completed:
        """Run the package manager, waiting for its lock. :raises StepError: it failed."""
        deadline = time.monotonic() + self.lock_timeout
        while True:
            done = self.system.package_manager(argv, **extra)
            if done.status == 0:
                return done
            if not LOCKED.search(done.err + done.out) or time.monotonic() > deadline:
                raise explained(what, done)
            time.sleep(LOCK_POLL_SECONDS)


def explained(what: str, done: Completed) -> StepError:
    """Return the error for a package manager's failure, with what to do about it."""
    text = done.err + done.out
    todo = next((todo for pattern, todo in _REASONS if pattern.search(text)), "check its output above and run again")
    return StepError(f"{what} failed ({done.argv[0]}: status {done.status})", _error_lines(done), todo)


def same_version(installed: str, requested: str) -> bool:
    """Return whether an installed version is the requested one, which may omit epoch and revision."""
    if installed == requested:
        return True
    upstream = installed.split(":", 1)[-1]
    return upstream == requested or upstream.rsplit("-", 1)[0] == requested


def _error_lines(done: Completed) -> str:
    lines = [line.strip() for line in (done.err + "\n" + done.out).splitlines()]
    errors = [line for line in lines if re.match(r"(E:|W:|Error|dpkg: error|error:|Err:|cannot )", line)]
    return " | ".join(dict.fromkeys(errors))[:1000] or done.output_tail[-500:].replace("\n", " | ")
