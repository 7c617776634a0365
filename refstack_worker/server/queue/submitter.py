"""A thread that gives runs to the queue as soon as the ledger has them, so that no HTTP answer waits for gearmand."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from refstack_worker.errors import RefstackError
from refstack_worker.server.domain.attempts import Submission
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import Sealed

LOG = logging.getLogger(__name__)

MAX_HANDED = 20
"""Sealed runs that wait for the thread. While the queue is slower, further runs wait in the ledger, which shares the
queue out between vendors."""


class Queue(Protocol):
    """What is needed of ``server/queue/client.py``."""

    def seal(self, one: Submission) -> Sealed: ...
    def submit_sealed(self, ledger: Ledger, ready: Sequence[Sealed]) -> int: ...
    def submit_pending(self, ledger: Ledger, test_id: int | None = ...) -> int: ...
    def withdraw(self, ledger: Ledger) -> None: ...


class Submitter:
    """Submits and withdraws in the background. What fails here is done later by the monitor.

    New runs are sealed while they are recorded (:class:`~refstack_worker.server.ledger.runs.Dispatcher`) and need no
    further look at the ledger.
    """

    def __init__(self, ledger: Ledger, queue: Queue | None) -> None:
        """:param queue: None: there is no queue; the monitor of another process submits."""
        self._ledger = ledger
        self._queue = queue
        self._news = threading.Event()
        self._is_look_due = False
        self._handed: deque[Sealed] = deque()
        self._lock = threading.Lock()
        self._owner = 0
        """Process that has the thread: threads do not survive a fork."""
        if queue is not None:
            ledger.runs.dispatcher = self

    def __call__(self) -> None:
        """Look into the ledger soon: there is something to submit or to withdraw."""
        self._is_look_due = True
        self._wake()

    def seal(self, submission: Submission) -> Sealed | None:
        """Seal a run that is being recorded; None: it has to wait for its turn in the ledger."""
        if self._queue is None or len(self._handed) >= MAX_HANDED:
            return None
        try:
            return self._queue.seal(submission)
        except RefstackError as error:
            LOG.warning("%s: left to the monitor: %s", submission.key, error)
            return None

    def submit(self, sealed: Sealed) -> None:
        """Submit a run that is recorded as sealed."""
        self._handed.append(sealed)
        self._wake()

    def _wake(self) -> None:
        if self._queue is None:
            return
        self._news.set()
        if self._owner == os.getpid():
            return
        with self._lock:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                threading.Thread(target=self._work, name="submitter", daemon=True).start()

    def _work(self) -> None:
        assert self._queue is not None  # noqa: S101 - for the type checker
        while self._news.wait():
            self._news.clear()
            try:
                self._round(self._queue)
            except RefstackError as error:
                LOG.warning("left to the monitor: %s", error)
            except Exception:
                LOG.exception("left to the monitor")

    def _round(self, queue: Queue) -> None:
        ready = [self._handed.popleft() for _ in range(len(self._handed))]
        if ready:
            queue.submit_sealed(self._ledger, ready)
        if self._is_look_due:
            self._is_look_due = False
            queue.submit_pending(self._ledger)
            queue.withdraw(self._ledger)
