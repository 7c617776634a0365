"""Chooses the package manager for a distribution."""

from __future__ import annotations

from refstack_install.errors import PreflightError
from refstack_install.hosts.os_release import OsRelease
from refstack_install.packages.apt import Apt
from refstack_install.packages.dnf import Dnf
from refstack_install.packages.manager import PackageManager
from refstack_install.packages.zypper import Zypper
from refstack_install.system import System

FAMILIES: tuple[tuple[frozenset[str], type[PackageManager]], ...] = (
    (frozenset({"debian", "ubuntu"}), Apt),
    (frozenset({"fedora", "rhel", "centos"}), Dnf),
    (frozenset({"suse", "opensuse", "sles"}), Zypper),
)


def choose(system: System, release: OsRelease, lock_timeout: int) -> PackageManager:
    """Return the distribution's package manager. :raises PreflightError: the distribution is not supported."""
    for ids, manager in FAMILIES:
        if ids & {release.id, *release.like}:
            return manager(system, lock_timeout)
    raise PreflightError(
        f"{release.pretty} is not supported",
        "there are packages for Debian, Fedora, EL, SUSE and their derivatives",
        "use one of these",
    )
