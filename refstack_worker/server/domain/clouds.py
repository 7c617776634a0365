"""Clouds under test, and the Tempest options of a run.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Conf = Mapping[str, Mapping[str, Any]]
"""Tempest options: section → option → value."""


@dataclass(frozen=True)
class Cloud:
    """What the legacy ``cloud`` row says of the cloud under test (no password is in it)."""

    id: int = 0
    label: str = ""
    endpoint: str = ""
    """Keystone v2 address."""
    endpoint_v3: str = ""
    admin_endpoint: str = ""
    test_user: str = ""
    alt_user: str = ""
    admin_user: str = ""
    version: str = ""
    tempest_sha: str = ""
    architecture: str = ""
    user_id: int | None = None


@dataclass(frozen=True)
class CloudCheck:
    """What came of the last look at a cloud."""

    ok: bool
    said: str
    """For people."""
    at: float = 0.0


@dataclass(frozen=True)
class CloudRecord:
    """A cloud with what the queue adds to RefStack's row."""

    cloud: Cloud
    region: str = ""
    release: str = ""
    keeps_passwords: bool = False
    check: CloudCheck | None = None
    """None: not looked at yet."""
    created_at: float = 0.0
    options: Conf = field(default_factory=dict)
    """Tempest options that every run of it gets, none of them secret."""
    accounts: int = 0
    """How many accounts for the tests are stored encrypted."""


@dataclass(frozen=True)
class NewCloud:
    """A cloud to be entered or changed."""

    label: str
    endpoint_v3: str
    region: str = ""
    release: str = ""
    test_user: str = ""
    alt_user: str = ""
    admin_user: str = ""
    version: str = ""
    user_id: int | None = None
    conf_json: Conf | None = field(default=None, repr=False)
    """Passwords to store encrypted; None: those that are stored stay; empty: they are forgotten."""
    accounts: Conf | None = field(default=None, repr=False)
    """Accounts for the tests to store encrypted, a section each; None: those that are stored stay; empty: none."""
    options: Conf | None = None
    """Further options, none of them secret; None: those that are stored stay."""
