"""Sends what a run reports to the server: in order, and without holding up the run."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace

from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.server_api.attempts import AttemptApi

LOG = logging.getLogger(__name__)

MAX_MESSAGES = 200
"""Messages of one run that are reported: a run must flood neither the server nor this process's memory."""
MAX_STATES = 20
"""Changes of state that are reported; a real run has two."""
PATIENCE = 30.0
"""Seconds for which a report during the run is retried; the final one has its own limit."""


class ReportQueue:
    """A thread that sends reports in the order in which they arrive."""

    def __init__(self, api: AttemptApi) -> None:
        self._api = api
        self._queue: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._left = {False: MAX_MESSAGES, True: MAX_STATES}
        self._closed = threading.Event()
        run = logs.RUN.get()
        self._thread = threading.Thread(target=self._work, args=(run,), name=f"reports {run}", daemon=True)
        self._thread.start()

    def add(self, report: Report) -> None:
        """Send a report soon; reports beyond the limits are dropped."""
        is_state = report.status is not None
        if self._left[is_state] > 0:
            self._left[is_state] -= 1
            self._queue.put(replace(report, message=clean_line(report.message)))

    def close(self) -> None:
        """Send what is waiting, trying each report once, and end."""
        self._closed.set()
        self._queue.put(None)
        self._thread.join()

    def _work(self, run: str) -> None:
        with logs.about(run):
            while (report := self._queue.get()) is not None:
                try:
                    self._api.report(report, 0.0 if self._closed.is_set() else PATIENCE)
                except RefusedError as error:
                    LOG.info("%s", error)  # the reply to the next heartbeat says what to do
                except ServerError as error:
                    LOG.warning("report not sent: %s", error)
