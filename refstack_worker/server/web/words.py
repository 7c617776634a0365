"""The words and signs for what the pages show: states of runs, times, durations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.runs import Run


@dataclass(frozen=True)
class StateWord:
    """How a state is shown."""

    word: str
    icon: str
    kind: str
    """Class in the style sheet: ``good``, ``bad``, ``idle`` or ``busy``."""


PASSED = StateWord("Passed", "✓", "good")
NOT_MET = StateWord("Not met", "✗", "bad")
TESTS_FAILED = StateWord("Tests failed", "✗", "bad")
STATES = {
    RunState.QUEUED: StateWord("Queued", "◷", "idle"),
    RunState.CLAIMED: StateWord("Starting", "▸", "busy"),
    RunState.BUILDING: StateWord("Preparing Tempest", "▸", "busy"),
    RunState.RUNNING: StateWord("Running", "▸", "busy"),
    RunState.POSTING: StateWord("Uploading results", "▸", "busy"),
    RunState.FINISHED: PASSED,
    RunState.FAILED: StateWord("Error", "!", "bad"),
    RunState.CANCELLING: StateWord("Cancelling", "◷", "idle"),
    RunState.CANCELLED: StateWord("Cancelled", "–", "idle"),
}
FILTERS = (
    ("", "All"),
    ("open", "In progress"),
    ("ended", "Completed"),
    ("queued", "Queued"),
    ("running", "Running"),
    ("passed", "Passed"),
    ("tests-failed", "Tests failed"),
    ("failed", "Error"),
    ("cancelled", "Cancelled"),
)


def state_word(run: Run, verdict: Any = None) -> StateWord:
    """Return how the state of a run is shown.

    :param verdict: by its own program, with ``passed``: required tests may be missing although none failed.
    """
    if run.state is RunState.FINISHED and not run.counts.failed and verdict and not verdict.passed:
        return NOT_MET
    if run.state is RunState.FINISHED and run.counts.failed:
        return TESTS_FAILED
    return STATES[run.state]


def live_words() -> dict[str, tuple[str, str, str]]:
    """Return the words for a script that follows a run."""
    return {state.value: (one.word, one.icon, one.kind) for state, one in STATES.items()}


def stamp(seconds: float) -> str:
    """Return a time as HTML's ``datetime`` has it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(seconds: float) -> str:
    """Return a time for people, UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M") if seconds else "–"


def clock_time(seconds: float) -> str:
    """Return the time of the day to the second, UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M:%S")


def lasting(seconds: float) -> str:
    """Return a duration for people."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def ago(seconds: float, now: float | None = None) -> str:
    """Return how long ago a time was, roughly."""
    passed = max(0.0, (now if now is not None else time.time()) - seconds)
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if passed >= size:
            return f"{int(passed // size)} {name} ago"
    return "just now"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"
