"""A slot: a thread that takes one job after another for as long as the gate lets it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from refstack_worker.contract.status_report import Progress
from refstack_worker.gearman import Address
from refstack_worker.worker.admission.admission import Gate
from refstack_worker.worker.attempt.attempt import Grabbed, Job, Services
from refstack_worker.worker.attempt.outcome import Ending, Kind
from refstack_worker.worker.queue.gearman_worker import Interrupted, SlotQueue
from refstack_worker.worker.server_api.heartbeat import Order, OrderBook

LOG = logging.getLogger(__name__)

GATE_SECONDS = 60.0
FIRST_REST = 5.0
LAST_REST = 300.0
"""Seconds that a slot rests after a run that failed by this node's fault: others get the next ones meanwhile."""


class Slot(threading.Thread):
    """One of the runs side by side."""

    def __init__(self, number: int, services: Services, gate: Gate, ended: Callable[[Ending], None]) -> None:
        super().__init__(name=f"slot {number}", daemon=True)
        self.number = number
        self._services = services
        self._gate = gate
        self._ended = ended
        self._faults = 0
        self._now: tuple[Job, OrderBook] | None = None
        self.queue: SlotQueue | None = None

    @property
    def busy(self) -> bool:
        """Whether it carries out a job."""
        return self._now is not None

    def connect(self, addresses: Iterable[Address], functions: Iterable[str]) -> None:
        """Connect to the queue."""
        name = self._services.settings.node.name
        self.queue = SlotQueue(f"{name}:{self.number}", functions, lambda: self._gate.is_open)
        self.queue.connect(addresses)

    def run(self) -> None:
        """Take jobs until the node ends."""
        while not self._gate.is_ending:
            if self._gate.wait_open(GATE_SECONDS):
                self._try_one()
        if self.queue is not None:
            self.queue.shutdown()

    def hand_back(self, why: str) -> None:
        """End the run in this slot and give it back."""
        now = self._now
        if now is not None:
            now[1].give(Order.HAND_BACK, why)

    def stop_waiting(self) -> None:
        """Ask for no further job."""
        if self.queue is not None and not self.busy:
            self.queue.stop_waiting()

    def tick(self) -> None:
        """Look after the connections; see that no wait goes on that should have ended. Every few seconds."""
        if self.queue is None or not self.is_alive():
            return
        self.queue.tick()
        if not self._gate.is_open:
            self.stop_waiting()

    def view(self) -> dict[str, Any]:
        """Return what it does, as ``status`` shows it; no secret."""
        shown: dict[str, Any] = {"slot": self.number, "busy": self.busy}
        now = self._now
        held, heart = (now[0].held, now[0].heart) if now else (None, None)
        if now and held is not None:
            progress = heart.progress if heart is not None else Progress()
            shown.update(
                test_id=held.payload.test_id,
                attempt=held.payload.attempt,
                tempest_version=held.tempest_version,
                state=heart.state.value if heart is not None else "",
                seconds=int(time.time() - now[0].since),
                progress=progress.to_json(),
            )
        return shown

    def _try_one(self) -> None:
        """A slot that ended by a fault would be missed by nobody, while its connection went on to be given jobs."""
        try:
            self._take_one()
        except Exception:
            LOG.exception("slot %d: a fault of this program", self.number)
            self._gate.wait_ending(FIRST_REST)

    def _take_one(self) -> None:
        assert self.queue is not None  # noqa: S101 - connected before it is started
        try:
            job = self.queue.next_job()
        except Interrupted:
            return
        unique = (job.unique or b"").decode("utf-8", "replace")
        ending = self._carry_out(Grabbed(job.name, unique, bytes(job.arguments)))
        self.queue.done(job)
        self._ended(ending)
        self._rest(ending)

    def _carry_out(self, grabbed: Grabbed) -> Ending:
        orders = OrderBook()
        job = Job(self._services, grabbed, orders)
        self._now = job, orders
        try:
            if self._gate.stopping:
                orders.give(Order.HAND_BACK, "the worker is being stopped")
            return job.carry_out()
        except Exception as error:  # the slot must live whatever happens in a job
            LOG.exception("job %s: a fault of this program", grabbed.unique)
            return Ending(Kind.DROPPED, "fault", f"a fault of the worker: {type(error).__name__}", node_fault=True)
        finally:
            self._now = None

    def _rest(self, ending: Ending) -> None:
        self._faults = self._faults + 1 if ending.node_fault else 0
        if self._faults:
            seconds = min(FIRST_REST * 2 ** (self._faults - 1), LAST_REST)
            LOG.warning(
                "slot %d rests %.0f s, for others to take the next run: %s", self.number, seconds, ending.message
            )
            self._gate.wait_ending(seconds)
