"""The words and signs for what the pages show: states of runs, times, durations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from refstack_worker.contract.states import STATUS_WORDS, RunState, status_word
from refstack_worker.server.domain.runs import Run


@dataclass(frozen=True)
class StateWord:
    """How a state is shown."""

    word: str
    icon: str
    kind: str
    """Class in the style sheet: ``good``, ``bad``, ``idle`` or ``busy``."""


_SIGNS = {
    RunState.QUEUED: ("◷", "idle"),
    RunState.CLAIMED: ("▸", "busy"),
    RunState.BUILDING: ("▸", "busy"),
    RunState.RUNNING: ("▸", "busy"),
    RunState.POSTING: ("▸", "busy"),
    RunState.FINISHED: ("✓", "good"),
    RunState.FAILED: ("!", "bad"),
    RunState.CANCELLING: ("◷", "idle"),
    RunState.CANCELLED: ("–", "idle"),
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

FIELD_NAMES = dict(
    (
        ("endpoint_v3", "Keystone URL"),
        ("label", "Name"),
        ("release", "OpenStack release"),
        ("password", "Test user's password"),
        ("project_name", "Test user's project"),
        ("domain_name", "Test user's domain"),
        ("alt_user", "Second user"),
        ("alt_password", "Second user's password"),
        ("alt_project_name", "Second user's project"),
        ("alt_domain_name", "Second user's domain"),
        ("admin_user", "Administrator"),
        ("admin_password", "Administrator's password"),
        ("admin_project_name", "Administrator's project"),
        ("admin_domain_name", "Administrator's domain"),
        ("options", "Tempest options"),
        ("cloud_id", "Cloud"),
        ("by", "Select by"),
        ("exclude", "Leave tests out"),
        ("concurrency", "Test processes"),
        ("timeout", "Time limit"),
        ("shards", "Nodes that share the run"),
        ("tag", "Run on nodes tagged"),
        ("discover", "Find missing options with"),
        ("plugins", "Tempest plugins"),
        ("scope", "Access"),
        ("days", "Expires"),
        ("user_id", "Owner"),
        ("vendor_id", "Vendor"),
        ("vendor_name", "Vendor's name"),
        ("user_name", "User's name"),
        ("contact_name", "Contact"),
        ("contact_email", "Contact's e-mail"),
        ("email", "E-mail"),
        ("address", "E-mail address"),
        ("url", "URL"),
        ("max_open_runs", "Open runs at a time"),
    )
)
"""Fields of forms whose label differs from their name."""


def field_name(field: str) -> str:
    """Return the name of a field as its label has it."""
    return FIELD_NAMES.get(field) or field.replace("_", " ").capitalize()


def state_word(run: Run, verdict: Any = None) -> StateWord:
    """Return how the state of a run is shown.

    :param verdict: by its own program, with ``passed``: required tests may be missing although none failed.
    """
    word = status_word(run.state, run.counts.failed, not verdict or verdict.passed)
    icon, kind = _SIGNS[run.state] if word == STATUS_WORDS[run.state] else ("✗", "bad")
    return StateWord(word, icon, kind)


def live_words() -> dict[str, tuple[str, str, str]]:
    """Return the words for a script that follows a run."""
    return {state.value: (STATUS_WORDS[state], *signs) for state, signs in _SIGNS.items()}


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
