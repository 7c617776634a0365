"""Ends an attempt that exceeds its time limit."""

from __future__ import annotations

import threading

from refstack_worker.contract.states import RunState
from refstack_worker.worker.attempt.stop_request import StopReason, StopRequest
from refstack_worker.worker.server_api.heartbeat import Heartbeat

POSTING_MARGIN = 900.0
"""Additional seconds for a run that has its result and only posts it."""


class TimeLimit(threading.Thread):
    """Requests the end of an attempt when its time is over."""

    def __init__(self, seconds: float, heartbeat: Heartbeat, stop_request: StopRequest) -> None:
        super().__init__(name="time limit", daemon=True)
        self._seconds = seconds
        self._heartbeat = heartbeat
        self._stop_request = stop_request
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """The attempt has ended: nothing is left to limit."""
        self._cancelled.set()

    def run(self) -> None:
        if self._cancelled.wait(self._seconds):
            return
        if self._heartbeat.state is RunState.POSTING and self._cancelled.wait(POSTING_MARGIN):
            return
        message = f"the run did not end within its time limit of {self._seconds:.0f} s"
        self._stop_request.make(StopReason.TIMEOUT, message)
