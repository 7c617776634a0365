"""A slot: a thread that takes one job after another while the node admits runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from refstack_worker.contract.progress import Progress
from refstack_worker.gearman import Address
from refstack_worker.worker.admission.admission import Admission
from refstack_worker.worker.attempt.attempt import AttemptExecution, NodeServices, ReceivedJob, unexpected
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.attempt.stop_request import StopReason, StopRequest
from refstack_worker.worker.queue.gearman_worker import Interrupted, SlotQueue

LOG = logging.getLogger(__name__)

ADMISSION_SECONDS = 60.0
FIRST_REST = 5.0
MAX_REST = 300.0
"""Seconds that a slot rests after a run that failed because of this node: other nodes get the next ones meanwhile."""


class Slot(threading.Thread):
    """One of the runs that a node carries out side by side."""

    def __init__(
        self, number: int, services: NodeServices, admission: Admission, on_end: Callable[[AttemptOutcome, float], None]
    ) -> None:
        super().__init__(name=f"slot {number}", daemon=True)
        self.number = number
        self._services = services
        self._admission = admission
        self._on_end = on_end
        self._faults = 0
        self._current: tuple[AttemptExecution, StopRequest] | None = None
        self.queue: SlotQueue | None = None

    @property
    def busy(self) -> bool:
        """Whether it carries out a job."""
        return self._current is not None

    def connect(self, addresses: Iterable[Address], functions: Iterable[str]) -> None:
        """Connect to the queue and register functions."""
        name = self._services.settings.node.name
        self.queue = SlotQueue(f"{name}:{self.number}", functions, lambda: self._admission.is_open)
        self.queue.connect(addresses)

    def run(self) -> None:
        while not self._admission.is_ending:
            if self._admission.wait_open(ADMISSION_SECONDS):
                self._try_one()
        if self.queue is not None:
            self.queue.shutdown()

    def release(self, why: str) -> None:
        """End the run in this slot and give the attempt up."""
        current = self._current
        if current is not None:
            current[1].make(StopReason.SHUTDOWN, why)

    def stop_waiting(self) -> None:
        """Ask the queue for no further job."""
        if self.queue is not None and not self.busy:
            self.queue.stop_waiting()

    def tick(self) -> None:
        """Check the connections, and end a wait that should have ended. Called every few seconds."""
        if self.queue is None or not self.is_alive():
            return
        self.queue.tick()
        if not self._admission.is_open:
            self.stop_waiting()

    def view(self) -> dict[str, Any]:
        """Return what it does, as ``status`` shows it; no secret."""
        shown: dict[str, Any] = {"slot": self.number, "busy": self.busy}
        current = self._current
        claimed, heartbeat = (current[0].claimed, current[0].heartbeat) if current else (None, None)
        if current and claimed is not None:
            progress = heartbeat.progress if heartbeat is not None else Progress()
            shown.update(
                test_id=claimed.payload.test_id,
                attempt=claimed.payload.attempt,
                tempest_version=claimed.tempest_version,
                state=heartbeat.state.value if heartbeat is not None else "",
                seconds=int(time.time() - current[0].since),
                progress=progress.to_json(),
            )
        return shown

    def _try_one(self) -> None:
        """Take one job and survive any error: a dead slot would go unnoticed while its connection got jobs."""
        try:
            self._take_one()
        except Exception:
            LOG.exception("slot %d: unexpected error", self.number)
            self._admission.rest(FIRST_REST)

    def _take_one(self) -> None:
        assert self.queue is not None  # noqa: S101 - connected before it is started
        try:
            job = self.queue.next_job()
        except Interrupted:
            return
        unique = (job.unique or b"").decode("utf-8", "replace")
        since = time.monotonic()
        outcome = self._carry_out(ReceivedJob(job.name, unique, bytes(job.arguments)))
        self.queue.done(job)
        self._on_end(outcome, time.monotonic() - since)
        self._rest(outcome)

    def _carry_out(self, job: ReceivedJob) -> AttemptOutcome:
        stop_request = StopRequest()
        execution = AttemptExecution(self._services, job, stop_request)
        self._current = execution, stop_request
        try:
            if self._admission.stopping:
                stop_request.make(StopReason.SHUTDOWN, "the worker is being stopped")
            return execution.carry_out()
        except Exception as error:  # the slot must survive whatever happens in a job
            LOG.exception("job %s: unexpected error", job.unique)
            return unexpected(OutcomeKind.DROPPED, error)
        finally:
            self._current = None

    def _rest(self, outcome: AttemptOutcome) -> None:
        self._faults = self._faults + 1 if outcome.node_fault else 0
        if self._faults:
            seconds = min(FIRST_REST * 2 ** (self._faults - 1), MAX_REST)
            LOG.warning(
                "slot %d pauses for %.0f s so that other nodes take the next run: %s",
                self.number,
                seconds,
                outcome.message,
            )
            self._admission.rest(seconds)
