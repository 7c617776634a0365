"""The states of a test run and the moves between them.

The server's ledger is the only place where a state changes; a worker reports what it sees and the ledger decides by
:func:`may_move` whether that is a move.
"""

from __future__ import annotations

import enum
import re

from refstack_worker.errors import StateError


class RunState(str, enum.Enum):
    """Where a test run stands. The values are what travels and what is stored."""

    QUEUED = "queued"
    """Recorded; waits for a worker (given to the queue or about to be)."""
    CLAIMED = "claimed"
    """A worker has taken the current attempt."""
    BUILDING = "building"
    """The worker makes the environment."""
    RUNNING = "running"
    """Tempest runs against the cloud."""
    POSTING = "posting"
    """The tests are done; the result is on its way."""
    CANCELLING = "cancelling"
    """Someone asked for the end of a run that a worker holds."""
    FINISHED = "finished"
    """A result was accepted, whether its tests passed or not."""
    FAILED = "failed"
    """The run ended without a result; the reason says why."""
    CANCELLED = "cancelled"
    """The run was stopped on request."""

    @property
    def is_end(self) -> bool:
        """Whether the run never moves again."""
        return self in ENDS


ENDS = frozenset({RunState.FINISHED, RunState.FAILED, RunState.CANCELLED})

HELD = frozenset({RunState.CLAIMED, RunState.BUILDING, RunState.RUNNING, RunState.POSTING, RunState.CANCELLING})
"""States in which a worker holds the run and must be heard of."""

PASSED = "Passed"
NOT_MET = "Not met"
TESTS_FAILED = "Tests failed"
STATUS_WORDS = {
    RunState.QUEUED: "Queued",
    RunState.CLAIMED: "Starting",
    RunState.BUILDING: "Preparing Tempest",
    RunState.RUNNING: "Running",
    RunState.POSTING: "Uploading results",
    RunState.FINISHED: PASSED,
    RunState.FAILED: "Error",
    RunState.CANCELLING: "Cancelling",
    RunState.CANCELLED: "Cancelled",
}
"""How pages and tables call a state."""
_WORDS = {**{state.value: word for state, word in STATUS_WORDS.items()}, RunState.FINISHED.value: "Finished"}


def status_word(state: RunState, failed: int = 0, is_met: bool = True) -> str:
    """Return how pages and tables call the state of a run.

    :param failed: tests of its result that failed.
    :param is_met: by its own program: required tests may be missing although none failed.
    """
    if state is RunState.FINISHED and failed:
        return TESTS_FAILED
    return NOT_MET if state is RunState.FINISHED and not is_met else STATUS_WORDS[state]


_TAKEN = re.compile(r"claimed: attempt (\d+) by (.*)", re.DOTALL)
_PREFIXED = re.compile(r"(\w+)(?:: (.*))?", re.DOTALL)


def status_text(message: str) -> str:
    """Return a status message as people read it: the state in front is called as in :data:`STATUS_WORDS`."""
    shard, mark, rest = message.partition(": ") if message.startswith("shard ") else ("", "", message)
    if taken := _TAKEN.fullmatch(rest):
        attempt = "" if taken[1] == "1" else f" (attempt {taken[1]})"
        return f"{shard.capitalize()}{mark}Picked up by {taken[2]}{attempt}"
    found = _PREFIXED.fullmatch(rest)
    word = _WORDS.get(found[1]) if found else None
    if found is None or word is None:
        return message
    said = found[2] or ""
    text = said if said.startswith(word) else f"{word}: {said}" if said else word
    return f"{shard.capitalize()}{mark}{text}"


_FORWARD = {
    RunState.QUEUED: {RunState.CLAIMED},
    RunState.CLAIMED: {RunState.BUILDING, RunState.RUNNING, RunState.POSTING},
    RunState.BUILDING: {RunState.RUNNING, RunState.POSTING},
    RunState.RUNNING: {RunState.POSTING},
    RunState.POSTING: set(),
    RunState.CANCELLING: set(),
}

_ALWAYS = {RunState.QUEUED, RunState.CANCELLING, RunState.CANCELLED, RunState.FAILED}
"""Where every run that has not ended may go: back to the queue (next attempt), or to an end without a result."""

_FROM_CANCELLING = {RunState.CANCELLED, RunState.FAILED, RunState.FINISHED}
"""A run that is being cancelled never goes back to the queue; a result that was under way may still win."""


def may_move(old: RunState, new: RunState) -> bool:
    """Return whether a run in state ``old`` may become ``new``; staying where it is always may, except in an end."""
    if old.is_end:
        return False
    if old is new:
        return True
    if old is RunState.CANCELLING:
        return new in _FROM_CANCELLING
    if new is RunState.FINISHED:
        return old is not RunState.QUEUED
    return new in _FORWARD[old] or new in _ALWAYS


def check_move(old: RunState, new: RunState) -> None:
    """Raise :class:`StateError` unless the move is allowed."""
    if not may_move(old, new):
        raise StateError(f"a run that is {old.value} cannot become {new.value}")
