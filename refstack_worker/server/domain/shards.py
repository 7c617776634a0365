"""Shards: the parts of a run that several nodes carry out at the same time.

Each is a run of its own for queue and nodes, hidden from lists; the run that it belongs to has the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.clouds import Conf

MAX_SHARDS = 16


@dataclass(frozen=True)
class ShardPlan:
    """The tests of one shard, before it is recorded."""

    names: tuple[str, ...]
    """Test classes, and tests of classes that are not run as a whole."""
    tests: int
    """How many tests these are."""
    conf_json: Conf = field(default_factory=dict, repr=False)
    """The options of the run, with the accounts of this shard alone."""
    is_last: bool = False
    """It starts when the other shards have ended: its tests must not run beside others, or need all accounts."""


@dataclass(frozen=True)
class Shard:
    """A shard as the ledger has it."""

    number: int
    """From 1."""
    tests: int
    names: tuple[str, ...]
    is_last: bool
    test_id: int | None
    """Its own run; None: it waits for the other shards."""
    state: RunState
    attempt: int = 0
    worker: str = ""
    reason: str = ""
    message: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    progress: Progress = Progress()
