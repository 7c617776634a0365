"""The heartbeat of an attempt: what a worker sends, and what the server replies (``docs/protocol.md``)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.progress import Progress

DEFAULT_SECONDS = 2.0
MIN_SECONDS = 0.05
MAX_SECONDS = 600.0
"""Bounds of the interval between heartbeats."""
FINISHED_GRACE = 30.0
"""Seconds for a run to end by itself once the server has its result: ``execute_test`` may still wait for the answer."""


class HeartbeatReply(str, enum.Enum):
    """What the worker is to do."""

    GO = "go"
    CANCEL = "cancel"
    STOP = "stop"
    """The attempt is superseded, over, or another worker's: stop and report nothing more."""


@dataclass(frozen=True)
class HeartbeatAnswer:
    """The server's answer to a heartbeat."""

    reply: HeartbeatReply
    reason: str = ""
    """Why to cancel or stop."""
    heartbeat_seconds: float = DEFAULT_SECONDS

    def to_json(self) -> dict[str, Any]:
        return {"order": self.reply.value, "reason": self.reason, "heartbeat_seconds": self.heartbeat_seconds}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> HeartbeatAnswer:
        """Return the answer in a JSON object.

        :raises ValueError: it has no known order.
        """
        return cls(HeartbeatReply(value.get("order")), str(value.get("reason", "")), interval(value))


def heartbeat_body(claim: str, worker: str, progress: Progress) -> dict[str, Any]:
    """Return what a worker sends."""
    return {"claim": claim, "worker": worker, "progress": progress.to_json()}


def interval(value: Mapping[str, Any]) -> float:
    """Return the seconds between heartbeats that an answer to a claim or a heartbeat asks for, within the bounds."""
    return bounded_seconds(value.get("heartbeat_seconds"), DEFAULT_SECONDS)


def bounded_seconds(value: object, default: float) -> float:
    """Return an interval from outside, within the bounds; the default for anything but a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return default
    return min(max(float(value), MIN_SECONDS), MAX_SECONDS)
