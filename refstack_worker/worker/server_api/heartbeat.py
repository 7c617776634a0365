"""The heartbeat of an attempt: a thread that keeps the claim alive and brings the server's orders back."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.server_api.attempts import Reporter

LOG = logging.getLogger(__name__)

FINISHED_GRACE = 30.0
"""Seconds for a run to end by itself whose result the server has: ``execute_test`` may still wait for the answer."""


class Order(enum.Enum):
    """Why a run has to end before its time. The value is how messages say it."""

    CANCEL = "cancelled"
    """Somebody cancelled it."""
    STOP = "superseded"
    """It is no longer this worker's: end everything, say nothing more."""
    HAND_BACK = "handed back"
    """The worker itself is being stopped."""
    LOST = "the server was out of reach"
    """Not heard by the server for so long that it must count as lost there."""
    TIMEOUT = "timeout"
    """Its time is over."""


class OrderBook:
    """The first order that a run gets; later ones change nothing, but ``STOP`` which overrules all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._order: Order | None = None
        self._told: list[Callable[[], None]] = []
        self.given = threading.Event()
        """Set when there is one."""
        self.hurried = threading.Event()
        """Set when the worker itself is being stopped, whatever was ordered before."""
        self.reason = ""

    @property
    def order(self) -> Order | None:
        """The order; None: go on."""
        return self._order

    def give(self, order: Order, reason: str = "") -> None:
        """Give an order, from any thread."""
        if order is Order.HAND_BACK:
            self.hurried.set()
        with self._lock:
            if self._order is not None and order is not Order.STOP:
                return
            self._order, self.reason = order, reason
            listeners = list(self._told)
        self.given.set()
        for listener in listeners:
            listener()

    def on_order(self, listener: Callable[[], None]) -> None:
        """Call this when an order comes, or now if there is one."""
        with self._lock:
            self._told.append(listener)
            given = self._order is not None
        if given:
            listener()


class Heart(threading.Thread):
    """Beats until it is stopped; what it is told to tell is set from the run's thread."""

    def __init__(self, reporter: Reporter, orders: OrderBook, seconds: float, patience: float) -> None:
        super().__init__(name=f"heartbeat {reporter.held.run}", daemon=True)
        self.state = RunState.CLAIMED
        self.progress = Progress()
        self.seconds = seconds
        """Between beats, as the server last asked."""
        self._reporter = reporter
        self._orders = orders
        self._patience = patience
        self._stopped = threading.Event()
        self._heard = time.monotonic()
        self._finished: float | None = None

    def stop(self) -> None:
        """End it and wait for a beat under way."""
        self._stopped.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join()

    def run(self) -> None:
        """Beat, at the server's pace."""
        with logs.about(self._reporter.held.run):
            due = time.monotonic()
            while not self._stopped.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + self.seconds
                self._beat()

    def _beat(self) -> None:
        try:
            orders = self._reporter.heartbeat(self.state, self.progress)
        except RefusedError as error:
            self._obey(Order.STOP, error.reason)
        except ServerError as error:
            self._unheard(error)
        else:
            self._heard = time.monotonic()
            self.seconds = orders.heartbeat_seconds
            if orders.order != "go" and not (orders.order == "stop" and self._may_end_itself(orders.reason)):
                self._obey(Order.CANCEL if orders.order == "cancel" else Order.STOP, orders.reason)

    def _may_end_itself(self, reason: str) -> bool:
        """Return whether a run that the server stops has its result there, and has had no time to end since."""
        if reason != RunState.FINISHED.value:
            return False
        if self._finished is None:
            self._finished = self._heard
        return self._heard - self._finished < FINISHED_GRACE

    def _obey(self, order: Order, reason: str) -> None:
        if not self._stopped.is_set():
            if self._orders.order is not order:
                LOG.info("the server says %s%s", order.name.lower(), f" ({reason})" if reason else "")
            self._orders.give(order, reason)

    def _unheard(self, error: ServerError) -> None:
        silence = time.monotonic() - self._heard
        LOG.warning("heartbeat not heard for %.0f s: %s", silence, error)
        if silence > self._patience:
            self._orders.give(Order.LOST, f"not heard for {silence:.0f} s")
