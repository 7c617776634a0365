"""What goes into the ledger and comes out of it. Times are seconds since 1970 (UTC); 0 means "not yet"."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.contract import gearman_functions
from refstack_worker.contract.payload import Testcases
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress

Conf = Mapping[str, Mapping[str, Any]]
"""Tempest options: section → option → value."""


@dataclass(frozen=True)
class AttemptKey:
    """One attempt of one run; also its Gearman unique."""

    test_id: int
    attempt: int

    def __str__(self) -> str:
        return gearman_functions.unique(self.test_id, self.attempt)


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
class RunSpec:
    """What is to be run."""

    tempest_version: str = ""
    openstack_release: str = ""
    """One of the two."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    testcases: Testcases | None = None
    """None: what the operator configured."""
    concurrency: int = 0
    timeout: int = 0
    """Seconds; 0: the operator's ``RUN_TIMEOUT``."""
    tag: str = ""
    """Only on nodes that carry it."""
    priority: int = 0
    """-1 low, 0 normal, 1 high."""

    @property
    def function(self) -> str:
        """The Gearman function that serves it."""
        if self.tempest_version:
            return gearman_functions.for_version(self.tempest_version, self.tag)
        return gearman_functions.for_release(self.openstack_release, self.tag)


@dataclass(frozen=True)
class NewRun:
    """A run to be recorded."""

    spec: RunSpec
    conf_json: Conf = field(default_factory=dict, repr=False)
    """Holds the passwords; kept sealed, wiped when the run ends."""
    test_id: int | None = None
    """An existing legacy ``test`` row; None makes one."""
    cloud_id: int | None = None
    """For the row that is made."""
    label: str = ""
    created_by: str = ""
    """Who asked, for people: a user's or token's name."""
    owner_id: int | None = None
    """``user.id`` of the vendor's user; None: the operator's."""
    rerun_of: int | None = None
    idempotency_key: str = ""
    """The same key of the same owner again gives the run that it gave the first time."""


@dataclass(frozen=True)
class Counts:
    """Tests of a result."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped


@dataclass(frozen=True)
class Run:
    """A run as the ledger has it."""

    test_id: int
    state: RunState
    attempt: int
    """The current one; older ones are superseded."""
    spec: RunSpec
    created_at: float
    updated_at: float
    started_at: float = 0.0
    """First claim of the current attempt."""
    ended_at: float = 0.0
    cancel_asked_at: float = 0.0
    reason: str = ""
    """Fixed word; set when the run failed or was cancelled."""
    message: str = ""
    """The last sentence for people."""
    label: str = ""
    created_by: str = ""
    owner_id: int | None = None
    cloud: Cloud = Cloud()
    worker: str = ""
    """Node that holds or held the current attempt."""
    progress: Progress = Progress()
    counts: Counts = Counts()
    """Of the accepted result."""
    rerun_of: int | None = None
    revision: int = 0
    """Counted up with every change: for ETags."""


@dataclass(frozen=True)
class AccessScope:
    """Whose runs and clouds somebody sees."""

    owner_ids: tuple[int, ...]
    """Users: himself and those of his vendor."""
    vendor_id: int | None = None
    """What is shared with this vendor he sees, too."""


@dataclass(frozen=True)
class RunQuery:
    """Which runs to list, newest first; what is empty does not narrow."""

    states: tuple[RunState, ...] = ()
    owner_id: int | None = None
    viewer: AccessScope | None = None
    """None: everybody's."""
    cloud_id: int | None = None
    tempest_version: str = ""
    worker: str = ""
    text: str = ""
    """Part of label, cloud label or creator."""
    before: int = 0
    """Only test ids below this one: the next page."""
    limit: int = 50


@dataclass(frozen=True)
class Attempt:
    """One time that a run was given to the queue."""

    key: AttemptKey
    is_current: bool
    run_state: RunState
    created_at: float
    submitted_at: float = 0.0
    claimed_at: float = 0.0
    heartbeat_at: float = 0.0
    ended_at: float = 0.0
    """When it was superseded or the run ended."""
    server: str = ""
    """``host:port`` of the Gearman server that has its job."""
    handle: str = ""
    worker: str = ""
    contested: bool = False
    """Another worker asked for it while it was held: gearmand thinks that the holder is gone."""
    outcome: str = ""
    """Why it ended: ``finished``, ``lost``, ``released``, …"""
    note: str = ""


@dataclass(frozen=True)
class Message:
    """A row of the legacy ``test_status`` table."""

    id: int
    test_id: int
    message: str
    timestamp: float


@dataclass(frozen=True)
class Submission:
    """An attempt to be given to the queue, taken under a lease by the caller."""

    key: AttemptKey
    spec: RunSpec
    conf_json: Conf = field(repr=False)
    secret: str = field(repr=False)
    """Fresh; the ledger keeps its digest."""
    timeout: int = 0
    testcases: Testcases | None = None


@dataclass(frozen=True)
class QueuedJob:
    """A job that gearmand was given and nobody has claimed."""

    key: AttemptKey
    server: str
    handle: str
    function: str
    submitted_at: float


@dataclass(frozen=True)
class Proof:
    """What a caller shows to act for a run."""

    test_id: int
    secret: str = field(repr=False)
    """Of the bearer token; empty when none came."""
    attempt: int | None = None
    """None: the attempt is told by the secret."""
    mark: str = field(default="", repr=False)
    """Of the claim, from the bearer token; see :mod:`refstack_worker.contract.attempt_token`."""
    payload_digest: str | None = None
    """Of the envelope that came along; None: this call brings none."""


@dataclass(frozen=True)
class Claim:
    """A worker's wish to take an attempt."""

    claim_id: str = field(repr=False)
    worker: str
    tempest_version: str = ""


@dataclass(frozen=True)
class ClaimAnswer:
    granted: bool
    reason: str = ""
    """``claimed``, ``superseded``, ``finished``, ``cancelled``, ``failed`` or ``paused``."""
    state: RunState = RunState.CLAIMED


class Order(str, enum.Enum):
    """What the answer to a heartbeat tells the worker."""

    GO = "go"
    CANCEL = "cancel"
    STOP = "stop"
    """Superseded or ended: stop and say nothing more."""


@dataclass(frozen=True)
class Heartbeat:
    claim_id: str = field(repr=False)
    worker: str
    progress: Progress = Progress()


@dataclass(frozen=True)
class Ordered:
    order: Order
    reason: str = ""


class Release(enum.Enum):
    """Why an attempt is over although its run is not."""

    LOST = "lost"
    """The worker went silent: counts against ``ATTEMPT_LIMIT``."""
    RELEASED = "released"
    """The worker handed it back: counts against ``RELEASE_LIMIT``."""
    QUEUE_LOST = "queue-lost"
    """Never claimed: the queue lost it, or it is not known whether the queue has it. Bounded by ``QUEUE_TIMEOUT``."""


class Why(str, enum.Enum):
    """Why a run is overdue; the value is the reason that it ends with."""

    QUEUE = "queue-timeout"
    RUN = "timeout"
    CANCEL = "cancel-unconfirmed"


@dataclass(frozen=True)
class Overdue:
    """A run that has used up the time that it had."""

    key: AttemptKey
    why: Why
    message: str


@dataclass(frozen=True)
class Node:
    """What a node last said of itself."""

    name: str
    versions: tuple[str, ...] = ()
    slots: int = 0
    busy: int = 0
    tags: tuple[str, ...] = ()
    state: str = ""
    software: str = ""
    time: float = 0.0
    """The node's own clock in its last message."""
    seen_at: float = 0.0
    """This server's clock."""


@dataclass(frozen=True)
class TestResult:
    """One test of a result."""

    __test__ = False

    position: int
    name: str
    """Without the bracketed attributes."""
    uuid: str
    """Idempotent id; empty when the test has none."""
    status: str
    """``passed``, ``failed`` or ``skipped``."""
    seconds: float
    started_at: float = 0.0
    reason: str = ""
    """Why skipped, or the traceback of a failure; secrets masked."""


@dataclass(frozen=True)
class ResultQuery:
    """Which tests of a run's result; what is empty does not narrow."""

    status: str = ""
    text: str = ""
    after: int = 0
    """Only positions above this one: the next page."""
    limit: int = 500


@dataclass(frozen=True)
class Accepted:
    """The answer to a posted result."""

    key: AttemptKey
    repeated: bool
    """The same bytes had been accepted before."""
    counts: Counts


@dataclass(frozen=True)
class Token:
    """An API token; of its secret only the digest is kept."""

    id: int
    name: str
    scopes: tuple[str, ...]
    user_id: int | None = None
    created_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float = 0.0
    last_used_at: float = 0.0
