"""The names of the Gearman functions: routing by what a node can do."""

from __future__ import annotations

import re

from refstack_worker.errors import UsageError

TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}\Z")


def for_version(version: str, tag: str = "") -> str:
    """Return the function of the nodes that can build this Tempest version (and carry this tag)."""
    return _with_tag(f"refstack:tempest:{version}", tag)


def for_release(release: str, tag: str = "") -> str:
    """Return the function of the nodes that can test this OpenStack release (``2025.1``)."""
    return _with_tag(f"refstack:openstack:{release}", tag)


def unique(test_id: int, attempt: int) -> str:
    """Return the Gearman unique of an attempt; it is never used twice."""
    return f"{test_id}:{attempt}"


def _with_tag(name: str, tag: str) -> str:
    if not tag:
        return name
    if not TAG.match(tag):
        raise UsageError(f"{tag!r} is not a node tag; use lower-case letters, digits, '.', '_' and '-', 32 at most")
    return f"{name}:{tag}"
