"""What a worker tells the server while it holds an attempt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.execute_test import ProgressEvent
from refstack_worker.contract.limits import MAX_COUNT
from refstack_worker.contract.states import RunState
from refstack_worker.errors import PayloadError

MAX_MESSAGE = 1024
"""Characters of a status message: what the ``test_status`` table holds."""


@dataclass(frozen=True)
class Progress:
    """How far a run is, in tests."""

    total: int = 0
    """Tests selected; 0 while that is not known."""
    done: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds_left: int = 0
    """Estimate; 0 while there is none."""
    test: str = ""
    """The test that ended last."""

    @classmethod
    def from_json(cls, value: Any) -> Progress:
        """Return the progress in a JSON object; fields that are not known are left out.

        :raises PayloadError: a field has the wrong type or is out of range.
        """
        if not isinstance(value, Mapping):
            raise PayloadError("progress: not a JSON object")
        taken: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            if item.name in value:
                taken[item.name] = (
                    _text(value[item.name]) if item.name == "test" else _count(item.name, value[item.name])
                )
        return cls(**taken)

    @classmethod
    def of_event(cls, event: ProgressEvent) -> Progress:
        """Return the progress that ``execute_test`` reports."""
        return cls(**{**vars(event), "seconds_left": event.seconds_left or 0, "test": clean_line(event.test)})

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Report:
    """One call of ``update-test-status``: a move, a message, or both."""

    status: RunState | None = None
    """The state that the worker has reached; None: only a message."""
    message: str = ""
    """A sentence for the vendor; no secret."""
    reason: str = ""
    """Fixed word for machines when the run failed."""
    worker: str = ""
    """The node that speaks."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        """Return the report in the parameters of a call.

        :raises PayloadError: the state is none, or a text is not text.
        """
        status = value.get("status") or None
        try:
            state = RunState(status) if status is not None else None
        except ValueError:
            raise PayloadError(f"status: {str(status)[:40]!r} is not a run state") from None
        return cls(state, *(_text(value.get(name) or "") for name in ("message", "reason", "worker")))

    def to_json(self) -> dict[str, str]:
        shown = {"message": self.message, "reason": self.reason, "worker": self.worker}
        if self.status:
            shown["status"] = self.status.value
        return {key: text for key, text in shown.items() if text}


def clean_line(text: str) -> str:
    """Return text as one printable line of at most :data:`MAX_MESSAGE` characters (no log or header injection)."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PayloadError("report: a text is expected")
    return clean_line(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_COUNT:
        raise PayloadError(f"progress: {name}: a number from 0 to {MAX_COUNT} is expected")
    return int(value)
