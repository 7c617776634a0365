"""A request to end an attempt early, made from any thread."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable


class StopReason(enum.Enum):
    """Why an attempt has to end early."""

    CANCELLED = "cancelled"
    """The vendor or an operator cancelled the run."""
    SUPERSEDED = "superseded"
    """The attempt no longer belongs to this worker: end everything and report nothing."""
    SHUTDOWN = "shutdown"
    """The worker is being stopped."""
    UNREACHABLE = "server unreachable"
    """No heartbeat got through for so long that the server must count the attempt as lost."""
    TIMEOUT = "timeout"
    """The run exceeded its time limit."""


class StopRequest:
    """The first request wins; only ``SUPERSEDED`` replaces an earlier one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: StopReason | None = None
        self._listeners: list[Callable[[], None]] = []
        self.requested = threading.Event()
        """Set once the attempt has to end."""
        self.shutting_down = threading.Event()
        """Set when the worker itself is being stopped, whatever was requested before."""
        self.message = ""

    @property
    def reason(self) -> StopReason | None:
        """Why the attempt has to end; None while it may go on."""
        return self._reason

    def make(self, reason: StopReason, message: str = "") -> bool:
        """Request the end. :returns: False when an earlier request stands."""
        if reason is StopReason.SHUTDOWN:
            self.shutting_down.set()
        with self._lock:
            if self._reason is reason or (self._reason is not None and reason is not StopReason.SUPERSEDED):
                return False
            self._reason, self.message = reason, message
            listeners = list(self._listeners)
        self.requested.set()
        for listener in listeners:
            listener()
        return True

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the end is requested; at once if it was already."""
        with self._lock:
            self._listeners.append(listener)
            is_requested = self._reason is not None
        if is_requested:
            listener()

    # what the heartbeat learns (server_api.heartbeat.StopListener)

    def cancel(self, why: str) -> bool:
        """The server wants the attempt cancelled."""
        return self.make(StopReason.CANCELLED, why)

    def supersede(self, why: str) -> bool:
        """The server gave the attempt to another worker, or it is over there."""
        return self.make(StopReason.SUPERSEDED, why)

    def lose_server(self, why: str) -> bool:
        """The server did not answer for too long."""
        return self.make(StopReason.UNREACHABLE, why)
