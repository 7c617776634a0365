"""A thread that tells the queue as soon as the ledger has news for it, so that no HTTP answer waits for gearmand."""

from __future__ import annotations

import logging
import os
import threading
from typing import Protocol

from refstack_worker.errors import RefstackError
from refstack_worker.server.ledger.ledger import Ledger

LOG = logging.getLogger(__name__)


class Queue(Protocol):
    """What is needed of ``server/queue/client.py``."""

    def submit_pending(self, ledger: Ledger, test_id: int | None = ...) -> int: ...
    def withdraw(self, ledger: Ledger) -> None: ...


class Submitter:
    """Submits and withdraws in the background. What fails here is done later by the monitor."""

    def __init__(self, ledger: Ledger, queue: Queue | None) -> None:
        """:param queue: None: there is no queue; the monitor of another process submits."""
        self._ledger = ledger
        self._queue = queue
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._owner = 0
        """Process that has the thread: threads do not survive a fork."""

    def __call__(self) -> None:
        """Say that there is something to submit or to withdraw."""
        if self._queue is None:
            return
        self._news.set()
        with self._lock:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                threading.Thread(target=self._work, name="submitter", daemon=True).start()

    def _work(self) -> None:
        assert self._queue is not None  # noqa: S101 - told to the type checker
        while self._news.wait():
            self._news.clear()
            try:
                self._queue.submit_pending(self._ledger)
                self._queue.withdraw(self._ledger)
            except RefstackError as error:
                LOG.warning("left to the monitor: %s", error)
            except Exception:
                LOG.exception("left to the monitor")
