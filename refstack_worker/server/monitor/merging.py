"""Merges the results of split runs beside the watch over the runs: a large one takes longer than a watchdog waits."""

from __future__ import annotations

import logging
import threading

from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.background import BackgroundWork
from refstack_worker.server.services import shard_results

LOG = logging.getLogger(__name__)


class BackgroundMerges:
    """Merges one result after another, beside the watch."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._wanted: dict[int, None] = {}
        """Runs, the one under way first."""
        self._work = BackgroundWork("merge", self._merge_all)
        self.wait = self._work.wait

    def want(self, test_id: int) -> None:
        """Merge the results of a run soon, unless that is wanted already."""
        with self._lock:
            self._wanted.setdefault(test_id)
        self._work.want()

    def _merge_all(self) -> None:
        while (test_id := self._first()) is not None:
            try:
                shard_results.merge(self._ledger, test_id)
            except Exception as error:  # the monitor wants it again in its next round
                LOG.error("run %d: its results are not merged yet: %s", test_id, error or type(error).__name__)
            finally:
                with self._lock:
                    del self._wanted[test_id]

    def _first(self) -> int | None:
        with self._lock:
            return next(iter(self._wanted), None)
