"""Attempts: each try of a run, the claim on it, and its messages.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from refstack_worker.contract import gearman_functions
from refstack_worker.contract.states import HELD, RunState
from refstack_worker.server.domain.clouds import Conf
from refstack_worker.server.domain.results import Counts
from refstack_worker.server.domain.runs import RunSpec

MISSED_BEATS = 5
"""Heartbeats that a node may miss before its silence is shown."""
SILENCE_STEP = 5
"""Seconds to which a silence is rounded down."""


@dataclass(frozen=True)
class AttemptKey:
    """One attempt of one run; also its Gearman unique."""

    test_id: int
    attempt: int

    def __str__(self) -> str:
        return gearman_functions.unique(self.test_id, self.attempt)


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
class Submission:
    """An attempt to be given to the queue, taken under a lease by the caller."""

    key: AttemptKey
    spec: RunSpec
    conf_json: Conf = field(repr=False)
    secret: str = field(repr=False)
    """Fresh; the ledger keeps its digest."""
    node_keys: tuple[str, ...] = ()
    """Public keys (base64) of the nodes that are enrolled at this moment."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that gearmand was given and no worker has claimed."""

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
    """None: the secret identifies the attempt."""
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
    lock_digest: str = ""
    """SHA-256 of the lock of the environment that the worker will build."""


@dataclass(frozen=True)
class ClaimAnswer:
    granted: bool
    reason: str = ""
    """``claimed``, ``superseded``, ``finished``, ``cancelled``, ``failed`` or ``paused``."""
    state: RunState = RunState.CLAIMED


class Release(enum.Enum):
    """Why an attempt is over although its run is not."""

    LOST = "lost"
    """The worker went silent: counts against ``ATTEMPT_LIMIT``."""
    RELEASED = "released"
    """The worker handed it back: counts against ``RELEASE_LIMIT``."""
    QUEUE_LOST = "queue-lost"
    """Never claimed: the queue lost it, or it is not known whether the queue has it. Bounded by ``QUEUE_TIMEOUT``."""


class OverdueReason(str, enum.Enum):
    """Why a run is overdue; the value is the reason that it ends with."""

    QUEUE = "queue-timeout"
    RUN = "timeout"
    CANCEL = "cancel-unconfirmed"
    OWNER = "owner-disabled"
    """It may wait no longer: nothing is started in the name of who is disabled."""


@dataclass(frozen=True)
class Overdue:
    """A run that has used up the time that it had."""

    key: AttemptKey
    reason: OverdueReason
    message: str


@dataclass(frozen=True)
class Accepted:
    """The answer to a posted result."""

    key: AttemptKey
    repeated: bool
    """The same bytes had been accepted before."""
    counts: Counts


def silent_seconds(state: RunState, heartbeat_at: float, now: float, interval: float) -> int:
    """Return for how long the node of a run has missed its heartbeats; 0 while it is heard, or no node holds the run.

    :param heartbeat_at: the last heartbeat; 0: no node sends any.
    :param interval: between two heartbeats, in seconds.
    """
    silence = now - heartbeat_at
    if state not in HELD or not heartbeat_at or silence < MISSED_BEATS * interval:
        return 0
    return max(SILENCE_STEP, int(silence // SILENCE_STEP) * SILENCE_STEP)
