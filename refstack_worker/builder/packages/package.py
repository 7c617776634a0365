"""What is known of a package of one Tempest version; both formats say it in their own way."""

from __future__ import annotations

import re
from dataclasses import dataclass

from refstack_worker.builder.packages.licences import WheelFacts
from refstack_worker.environments.lock import plugin_word, set_name

DATA = "usr/share/refstack-tempest"
"""Folder of all installed versions, relative to the root."""

MAINTAINER = "RefStack developers <openstack-discuss@lists.openstack.org>"
HOMEPAGE = "https://docs.openstack.org/tempest/"
VIRTUAL = "refstack-tempest"
"""What each version provides."""


_EARLIER = re.compile(r"(?<=[0-9])\.?(a|b|rc|dev)(?=[0-9])")
"""Parts of a Python version that sort before the version without them."""


def debian_version(version: str) -> str:
    """Return a Python version as dpkg sorts it alike: ``47.0.1~dev5+g1a2b3c4`` before ``47.0.1``.

    Alphas and betas are ``~prea1``: as ``~a1`` they would come before ``~dev1``.
    """
    public, plus, local = version.partition("+")
    return re.sub(r"~([ab][0-9])", r"~pre\1", _EARLIER.sub(r"~\1", public)) + plus + local


def rpm_version(version: str) -> str:
    """Return a Python version as rpm sorts it alike; what a local part is to Python, ``^`` is to rpm."""
    return debian_version(version).replace("+", "^")


@dataclass(frozen=True)
class TempestPackage:
    """One package, whatever its format."""

    tempest: str
    """Tempest version."""
    revision: int
    pythons: tuple[str, ...]
    """Series of Python that it has locks for, oldest first: ``3.11``, ``3.13``."""
    releases: tuple[str, ...]
    """OpenStack releases, newest first."""
    plugins: tuple[tuple[str, str], ...]
    constraints: str
    """Name of the upper constraints that it was resolved under; empty: none."""
    tests: int
    """How many tests its environment listed."""
    locks: tuple[tuple[str, str], ...]
    """File name and SHA-256 of each lock."""
    machine: str
    """``x86_64``, ``aarch64``; empty: it has locks for any."""
    execute_test: str
    """The oldest version of ``execute_test`` that drives it."""
    epoch: int
    """The one time in the package, in seconds since 1970."""
    interpreters: tuple[tuple[str, str], ...]
    """Series of Python to the system package that has it, where it is not the usual one."""
    licences: tuple[tuple[str, WheelFacts], ...]
    """Wheel file name and what it says of itself, sorted."""

    @property
    def name(self) -> str:
        """Name of the package, which holds the version, so that several are installed side by side."""
        return f"{VIRTUAL}-{self.set_name}"

    @property
    def set_name(self) -> str:
        """Tempest's version, and the plugins: ``43.0.0-heat``."""
        return set_name(self.tempest, self.plugins)

    @property
    def folder(self) -> str:
        """Where its files are, relative to the root."""
        return f"{DATA}/{self.set_name}"

    @property
    def provided_plugins(self) -> list[tuple[str, str]]:
        """What it provides for each plugin: name and version."""
        return [(f"{VIRTUAL}-plugin-{plugin_word(name)}", version) for name, version in self.plugins]

    @property
    def summary(self) -> str:
        plugins = f" with {len(self.plugins)} plugins" if len(self.plugins) > 1 else ""
        plugins = f" with the {plugin_word(self.plugins[0][0])} plugin" if len(self.plugins) == 1 else plugins
        return f"Tempest {self.tempest}{plugins} for RefStack workers"

    def facts(self) -> list[tuple[str, str]]:
        """Return what a person must know before installing it: field name (as dpkg writes them) and value."""
        found = [
            ("Refstack-Tempest", self.tempest),
            ("Refstack-Interpreters", ", ".join(f"cpython-{series}" for series in self.pythons)),
            ("Refstack-Openstack-Releases", ", ".join(self.releases)),
            ("Refstack-Constraints", self.constraints or "none"),
            ("Refstack-Tests", str(self.tests)),
            ("Refstack-Plugins", ", ".join(f"{name} {version}" for name, version in self.plugins)),
            ("Refstack-Locks", ", ".join(f"{name} sha256:{digest}" for name, digest in self.locks)),
        ]
        return [(name, value) for name, value in found if value]

    def description(self) -> list[str]:
        """Return the long description as paragraphs."""
        under = f", resolved under {self.constraints}" if self.constraints else ""
        paragraphs = [
            f"Everything that a RefStack worker needs to run Tempest {self.tempest}: the lock that names every file "
            f"with its SHA-256{under}, the wheels, their licence texts, and a bill of materials (CycloneDX).",
            f"OpenStack releases: {', '.join(self.releases) or 'not stated'}. "
            f"Python: {', '.join(self.pythons)}. Tests: {self.tests}.",
        ]
        if self.plugins:
            paragraphs.append("With " + ", ".join(f"{name} {version}" for name, version in self.plugins) + ".")
        paragraphs.append(
            "Versions are installed side by side. A running worker offers a version as soon as its package is "
            "installed, and no longer once it is removed."
        )
        return paragraphs

    def interpreter_package(self, series: str) -> str:
        """Return the system package of an interpreter that is not the usual one; empty: it is the usual one."""
        return dict(self.interpreters).get(series, "")
