"""What a worker tells the server while it holds an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.states import RunState
from refstack_worker.errors import PayloadError


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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PayloadError("report: a string is expected")
    return clean_line(value)
