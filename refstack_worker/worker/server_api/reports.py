"""What a run says while it goes on, told to the server in order and without holding up the run."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress, Report, clean_line
from refstack_worker.errors import PayloadError, RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.server_api.attempts import Reporter
from refstack_worker.worker.server_api.heartbeat import Heart
from refstack_worker.worker.spool.spool import Writer

LOG = logging.getLogger(__name__)

MAX_MESSAGES = 200
"""Messages of one run that reach its status; what a run prints is not to flood the server, nor to fill this memory."""
MAX_LINES = 5000
"""Lines of one program of a run that reach this node's log; a real run writes a few dozen."""
MAX_STATES = 20
"""Changes of state that are told; there are two."""
PATIENCE = 30.0
"""Seconds for which a message on the way is tried; the last word has its own patience."""


class ReportQueue:
    """A thread that sends reports in the order in which they came."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._queue: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._left = {False: MAX_MESSAGES, True: MAX_STATES}
        self._closed = threading.Event()
        run = logs.RUN.get()
        self._thread = threading.Thread(target=self._work, args=(run,), name=f"reports {run}", daemon=True)
        self._thread.start()

    def say(self, report: Report) -> None:
        """Tell something, soon; what is too much is left out."""
        is_state = report.status is not None
        if self._left[is_state] > 0:
            self._left[is_state] -= 1
            self._queue.put(replace(report, message=clean_line(report.message)))

    def close(self) -> None:
        """Send what is waiting, each thing once, and end."""
        self._closed.set()
        self._queue.put(None)
        self._thread.join()

    def _work(self, run: str) -> None:
        with logs.about(run):
            while (report := self._queue.get()) is not None:
                try:
                    self._reporter.report(report, 0.0 if self._closed.is_set() else PATIENCE)
                except RefusedError as error:
                    LOG.info("%s", error)  # an order follows with the next heartbeat
                except ServerError as error:
                    LOG.warning("not told: %s", error)


class _Lines:
    """Passes so many lines on to the log: what a program prints is not to fill the node's disk."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, who: str, line: str) -> None:
        self._count += 1
        if self._count <= MAX_LINES:
            LOG.info("%s: %s", who, line[:2000])
        elif self._count == MAX_LINES + 1:
            LOG.warning("%s: writes more than %d lines; the rest is left out", who, MAX_LINES)


class RunListener:
    """Hears the events of ``execute_test``."""

    def __init__(self, teller: ReportQueue, heart: Heart, writer: Writer) -> None:
        self._teller = teller
        self._heart = heart
        self._writer = writer
        self.last: Mapping[str, Any] = {}
        """The event by which it said how it ended."""
        self._lines = _Lines()
        self.started = False
        """Whether the tests began: then there may be something in the cloud."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Take an event of ``docs/protocol.md``; what makes no sense is left out."""
        kind = event.get("event")
        if kind == "progress":
            self._progress(event)
        elif kind == "state" and event.get("state") in ("running", "posting"):
            self.started = True
            self._heart.state = RunState(event["state"])
            LOG.info("%s", event["state"])
            self._teller.say(Report(self._heart.state, str(event.get("message", ""))))
        elif kind == "message":
            self._teller.say(Report(message=str(event.get("text", ""))))
        elif kind == "end":
            self.last = event

    def log(self, line: str) -> None:
        """Pass a line on to the log."""
        self._lines("execute_test", line)

    def file(self, name: str, data: bytes, last: bool) -> None:
        """Keep a piece of a result that was not posted."""
        self._writer.write(name, data)

    def _progress(self, event: Mapping[str, Any]) -> None:
        try:
            self._heart.progress = Progress.from_json({k: v for k, v in event.items() if v is not None})
        except PayloadError as error:
            LOG.debug("%s", error)


class CleanupListener:
    """Hears what the clean-up of the cloud says."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self.messages: list[str] = []
        self.last: Mapping[str, Any] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep messages and the last word."""
        if event.get("event") == "message" and len(self.messages) < MAX_MESSAGES:
            self.messages.append(clean_line(str(event.get("text", ""))))
        elif event.get("event") == "end":
            self.last = event

    def log(self, line: str) -> None:
        """Pass a line on to the log."""
        self._lines("clean-up", line)

    def file(self, name: str, data: bytes, last: bool) -> None:
        """Nothing comes back from a clean-up."""
