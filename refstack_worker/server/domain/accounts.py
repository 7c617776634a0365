"""What goes into the ledger and comes out of it on the users' side. Times as in ``records.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from refstack_worker.server.domain.records import Cloud, Conf, Token


@dataclass(frozen=True)
class Vendor:
    """A firm with clouds; its users see the same runs."""

    id: int
    name: str
    contact_name: str = ""
    contact_email: str = ""


@dataclass(frozen=True)
class User:
    """Somebody of a vendor."""

    id: int
    name: str
    email: str = ""
    vendor_id: int | None = None


@dataclass(frozen=True)
class Session:
    """A browser that signed in."""

    token: Token
    expires_at: float


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
    """Passwords and further options to keep sealed; None: what is kept stays."""


@dataclass(frozen=True)
class StoredGuideline:
    """A guideline file in the ledger."""

    id: int
    name: str
    digest: str
    source: str = ""
    added_by: str = ""
    owner_id: int | None = None
    created_at: float = 0.0


@dataclass(frozen=True)
class Choice:
    """By what a run is judged."""

    guideline_id: int
    program: str
    advisory: bool = False
    """Whether the advisory tests run, too; they decide nothing."""


@dataclass(frozen=True)
class Demand:
    """What waits for nodes of one Gearman function."""

    function: str
    version: str
    queued: int
    running: int
    waited: float
    """Seconds that the oldest of those that wait has waited."""
    slots: int
    """Of ready nodes that serve it."""
    needed: int
    """Further slots that would let all that waits run at once."""


@dataclass(frozen=True)
class Place:
    """Where a run stands in the queue."""

    ahead: int
    """Runs before it that need the same kind of node."""
    slots: int
    """Of ready nodes that could take it."""
    seconds: float | None
    """Estimate until it starts; None: nothing to estimate from, or no node."""


@dataclass(frozen=True)
class Snapshot:
    """What a watcher of a run is shown."""

    test_id: int
    revision: str
    """Differs when something is new."""
    values: Mapping[str, object]
