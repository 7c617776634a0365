"""Which package manager a machine has."""

from __future__ import annotations

from refstack_install.backends.apt import Apt
from refstack_install.backends.base import PackageManager
from refstack_install.backends.dnf import Dnf
from refstack_install.backends.zypper import Zypper
from refstack_install.errors import PreflightError
from refstack_install.osrelease import OsRelease
from refstack_install.system import System

FAMILIES: tuple[tuple[frozenset[str], type[PackageManager]], ...] = (
    (frozenset({"debian", "ubuntu"}), Apt),
    (frozenset({"fedora", "rhel", "centos"}), Dnf),
    (frozenset({"suse", "opensuse", "sles"}), Zypper),
)


def pick(system: System, release: OsRelease, lock_timeout: int) -> PackageManager:
    """Return the package manager of this distribution. :raises PreflightError: there is none for it."""
    for ids, manager in FAMILIES:
        if ids & {release.id, *release.like}:
            return manager(system, lock_timeout)
    raise PreflightError(
        f"{release.pretty} is not supported",
        "packages exist for Debian, Fedora, EL and SUSE and what is made from them",
        "use one of these",
    )
