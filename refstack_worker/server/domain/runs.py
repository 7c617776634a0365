"""Runs: what a vendor asks for, and what became of it.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from refstack_worker.contract import gearman_functions
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.testcases import Testcases
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.clouds import Cloud, Conf
from refstack_worker.server.domain.results import Counts
from refstack_worker.server.domain.shards import ShardPlan

RUN = "run"
IMPORTED = "imported"
SPLIT = "split"
"""It is carried out as several shards."""
SHARD = "shard"
"""It is a part of another run, and in no list."""


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
    discover: str = ""
    """What finds the Tempest options that are not set; empty: this software itself."""
    shards: int = 0
    """Nodes that share the run, if it can be split; 0 or 1: it is not."""

    @property
    def function(self) -> str:
        """The Gearman function that serves it."""
        if self.tempest_version:
            return gearman_functions.for_version(self.tempest_version, self.tag, self.plugins)
        return gearman_functions.for_release(self.openstack_release, self.tag, self.plugins)

    @property
    def needs(self) -> str:
        """What a node must have, in words: ``33.0.0``, ``2025.1 with heat-tempest-plugin 3.0.0 and the tag eu``."""
        plugins = ", ".join(f"{name} {number}" for name, number in sorted(self.plugins.items()))
        more = " and ".join(filter(None, (plugins, self.tag and f"the tag {self.tag}")))
        what = self.tempest_version or self.openstack_release
        return f"{what} with {more}" if more else what


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
    kind: str = RUN
    """See :class:`Run`."""
    idempotency_key: str = ""
    """The same key of the same owner again gives the run that it gave the first time."""
    shards: tuple[ShardPlan, ...] = ()
    """What each of several nodes carries out; empty: one node carries out all of it."""
    note: str = ""
    """The first message for people: why a run that was to be split is not."""
    request_digest: str = ""
    """Digest of the request that the key came with; another request with the same key is refused."""


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
    kind: str = RUN
    """``run``; ``imported``: its result was made elsewhere; ``split``: shards carry it out; ``shard``: one of these."""
    revision: int = 0
    """Counted up with every change: for ETags."""


@dataclass(frozen=True)
class RunQuery:
    """Which runs to list, newest first; what is empty does not narrow."""

    states: tuple[RunState, ...] = ()
    owner_id: int | None = None
    scope: AccessScope | None = None
    """None: everybody's."""
    cloud_id: int | None = None
    tempest_version: str = ""
    worker: str = ""
    text: str = ""
    """Part of label, cloud label or creator."""
    has_failures: bool | None = None
    """Whether tests of its result failed; None: either."""
    program: str = ""
    """The program that a run is judged by, in full or its last words."""
    vendor_id: int | None = None
    """Only runs of this vendor's users."""
    since: float = 0.0
    """Only runs that were created then or later."""
    until: float = 0.0
    """Only runs that were created before."""
    before: int = 0
    """Only test ids below this one: the next page."""
    limit: int = 50


@dataclass(frozen=True)
class Message:
    """A row of the legacy ``test_status`` table."""

    id: int
    test_id: int
    message: str
    timestamp: float


@dataclass(frozen=True)
class QueuePosition:
    """Where a run stands in the queue."""

    ahead: int
    """Runs before it that need the same kind of node."""
    slots: int
    """Of ready nodes that could take it."""
    seconds: float | None
    """Estimate until it starts; None: nothing to estimate from, or no node."""
