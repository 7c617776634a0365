"""How an attempt ends on this node, and what follows from how its program ended."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from refstack_worker.errors import (
    EnvironmentBuildError,
    ProcessError,
    RefstackError,
    RunError,
    StoreError,
)
from refstack_worker.worker.sandbox.runner import End
from refstack_worker.worker.server_api.heartbeat import Order

PASSED, TESTS_FAILED, BAD_INPUT, CLOUD, TEMPEST, NOT_POSTED, SERVER, STOPPED = range(8)
"""Exit statuses of ``execute_test`` (``docs/protocol.md``)."""

KILLED_ATTEMPTS = 3
"""A run whose processes are killed from outside, or that meets a full disk, is tried again elsewhere; one that always
does, fails."""


class Kind(enum.Enum):
    """What the node does with the attempt."""

    POSTED = "posted"
    """The server has the result."""
    SPOOLED = "spooled"
    """The result waits on this node until the server takes it."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Given back: the server makes the next attempt."""
    STOPPED = "stopped"
    """Not this worker's any more; nothing is said."""
    DROPPED = "dropped"
    """The job was never this worker's: not to be opened, or claimed by another."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended."""

    kind: Kind
    reason: str = ""
    """Fixed word for machines."""
    message: str = ""
    """A sentence for the vendor or the operator."""
    node_fault: bool = False
    """It may be this node: let others have the next ones for a while."""


def of_order(order: Order, why: str, end: End | None) -> Ending:
    """Return how a run ends that was ordered to."""
    if end is not None and end.status in (PASSED, TESTS_FAILED):
        return Ending(Kind.POSTED)  # it was faster than the order
    if order is Order.CANCEL:
        return Ending(Kind.CANCELLED, "cancelled", "cancelled; everything of it on the node was ended")
    if order is Order.TIMEOUT:
        return Ending(Kind.FAILED, "timeout", why)
    if order is Order.HAND_BACK:
        return Ending(Kind.RELEASED, "restart", why or "the worker is being stopped")
    if order is Order.LOST:
        return Ending(Kind.RELEASED, "server", f"the RefStack server was out of reach of this node: {why}")
    return Ending(Kind.STOPPED, why or "superseded")


def of_end(end: End, said: Mapping[str, object], attempt: int) -> Ending:
    """Return how a run ends whose program came to its end by itself.

    :param said: the program's last event.
    :param attempt: which attempt of the run this is.
    """
    reason, message = str(said.get("reason", "")), str(said.get("message", ""))
    if end.status in (PASSED, TESTS_FAILED):
        return Ending(Kind.POSTED, reason, message)
    if end.status == NOT_POSTED and reason == "refused":
        return Ending(Kind.FAILED, "result-refused", message)
    if end.status == NOT_POSTED:
        return Ending(Kind.SPOOLED, "not-posted", message)
    if end.status == STOPPED and "time limit" in message:
        return Ending(Kind.FAILED, "timeout", message)
    if end.status == SERVER:
        return Ending(Kind.RELEASED, "server", message)
    if end.status == TEMPEST and reason == "machine":
        kind = Kind.RELEASED if attempt < KILLED_ATTEMPTS else Kind.FAILED
        return Ending(kind, "machine", f"this node is in trouble: {message}", True)
    if end.status in (BAD_INPUT, CLOUD, TEMPEST):
        return Ending(Kind.FAILED, reason or "run", message or f"execute_test ended with status {end.status}")
    if end.status is None and not end.lost:
        return Ending(Kind.RELEASED, "run", f"execute_test cannot be started on this node: {end.message}", True)
    return _killed(end, attempt)


def of_error(error: RefstackError, mismatched: bool) -> Ending:
    """Return how an attempt ends that met an error on this node.

    :param mismatched: the run asked for something else than the function that it came by.
    """
    if isinstance(error, (StoreError, ProcessError, RunError)):
        return Ending(Kind.RELEASED, error.reason, f"this node is in trouble: {error}", True)
    if error.reason == "version-unavailable" and not mismatched:
        return Ending(Kind.RELEASED, error.reason, str(error), True)
    what = "no environment for this run: " if isinstance(error, EnvironmentBuildError) else ""
    return Ending(Kind.FAILED, error.reason, f"{what}{error}")


def _killed(end: End, attempt: int) -> Ending:
    how = end.message if end.lost else f"execute_test ended with status {end.status}"
    if end.status is not None and end.status < 0:
        how = f"execute_test was killed by signal {-end.status} (out of memory?)"
    kind = Kind.RELEASED if attempt < KILLED_ATTEMPTS else Kind.FAILED
    return Ending(kind, "killed", how)
