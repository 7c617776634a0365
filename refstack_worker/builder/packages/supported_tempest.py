"""Which Tempest versions this software can drive, for the packages' fields and relations.

``python3 -m refstack_worker.builder.packages.supported_tempest`` prints them as dpkg's substitution variables.
"""

from __future__ import annotations

from packaging.version import Version

OLDEST = "24.0.0"
"""The oldest Tempest that ``execute_test`` was tried with."""
NEWEST = "47.0.0"
"""The newest one; later ones are expected to work, and a package of one that does not says what it needs."""

NEEDS = (("24.0.0", "0.1.0"),)
"""From which Tempest version on which version of ``execute_test`` is needed, ascending."""


def execute_test_for(tempest: str) -> str:
    """Return the oldest version of ``execute_test`` that can drive a Tempest version."""
    wanted = Version(tempest)
    fitting = [needed for first, needed in NEEDS if wanted >= Version(first)]
    return fitting[-1] if fitting else NEEDS[0][1]


def sentence() -> str:
    """Return what is driven, for people."""
    return f"{OLDEST} and newer (tried up to {NEWEST})"


def substvars() -> str:
    """Return the lines of a ``substvars`` file of dpkg."""
    return f"refstack:Drives-Tempest={sentence()}\nrefstack:Oldest-Tempest={OLDEST}\n"


if __name__ == "__main__":
    print(substvars(), end="")
