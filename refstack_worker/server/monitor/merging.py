"""Merges the results of split runs beside the watch over the runs: a large one takes longer than a watchdog waits."""

from __future__ import annotations

import logging
import threading

from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import shard_results

LOG = logging.getLogger(__name__)


class BackgroundMerges:
    """Merges one result after another, in a thread that ends when there is none left."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._wanted: dict[int, None] = {}
        """Runs, the one under way first."""
        self._thread: threading.Thread | None = None

    def want(self, test_id: int) -> None:
        """Merge the results of a run soon, unless that is wanted already."""
        with self._lock:
            self._wanted.setdefault(test_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="merge", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is under way; return whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def _work(self) -> None:
        while True:
            with self._lock:
                test_id = next(iter(self._wanted), None)
                if test_id is None:
                    self._thread = None
                    return
            try:
                shard_results.merge(self._ledger, test_id)
            except Exception as error:  # the monitor wants it again in its next round
                LOG.error("run %d: its results are not merged yet: %s", test_id, error or type(error).__name__)
            finally:
                with self._lock:
                    del self._wanted[test_id]
