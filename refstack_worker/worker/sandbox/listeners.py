"""What becomes of the output of ``execute_test``: events, lines for the log, files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from refstack_worker.contract.console import ConsoleLine, read_line
from refstack_worker.contract.execute_test import EndEvent, MessageEvent, StateEvent, read_event
from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report

LOG = logging.getLogger(__name__)

MAX_LINES = 5000
"""Lines of one program of a run that reach this node's log; a real run writes a few dozen."""
MAX_MESSAGES = 200
"""Messages of one clean-up that are kept."""
MAX_STATES = 20
"""Changes of state that reach this node's log; a real run has two."""


class ReportSink(Protocol):
    """Takes reports for the server (:class:`~refstack_worker.worker.server_api.reports.ReportQueue`)."""

    def add(self, report: Report) -> None:
        """Queue a report for the server."""


class ProgressSink(Protocol):
    """Holds what the next heartbeat sends (:class:`~refstack_worker.worker.server_api.heartbeat.Heartbeat`)."""

    state: RunState
    progress: Progress


class ConsoleSink(Protocol):
    """Takes lines of the live console (:class:`~refstack_worker.worker.server_api.console.ConsoleSender`)."""

    def add(self, line: ConsoleLine) -> None:
        """Queue a line for the server."""

    def flush(self) -> None:
        """Send the queued lines now."""


class FileSink(Protocol):
    """Takes files in pieces (:class:`~refstack_worker.worker.spool.spool.SpoolWriter`)."""

    def write(self, name: str, data: bytes) -> None:
        """Take a piece of a file."""


class _LineLog:
    """Passes a limited number of lines on to the log: the output of a program must not fill the node's disk."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, source: str, line: str) -> None:
        self._count += 1
        if self._count <= MAX_LINES:
            LOG.info("%s: %s", source, line[:2000])
        elif self._count == MAX_LINES + 1:
            LOG.warning("%s: more than %d lines; the rest is left out", source, MAX_LINES)


class RunListener:
    """Handles the output of a run."""

    def __init__(self, reports: ReportSink, progress: ProgressSink, console: ConsoleSink, files: FileSink) -> None:
        self._reports = reports
        self._progress = progress
        self._console = console
        self._files = files
        self._lines = _LineLog()
        self._states = 0
        self.last: EndEvent | None = None
        """The event with which the program announced its end."""
        self.started = False
        """Whether the tests began: then the cloud may hold resources of this run."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Handle an event of ``docs/protocol.md``; one that makes no sense is ignored."""
        read = read_event(event)
        if isinstance(read, Progress):
            self._progress.progress = read
        elif isinstance(read, StateEvent):
            self._enter(RunState(read.state), read.message)
        elif isinstance(read, MessageEvent):
            self._reports.add(Report(message=read.text))
        elif isinstance(read, EndEvent):
            self.last = read
        elif (line := read_line(event)) is not None:
            self._console.add(line)

    def log(self, line: str) -> None:
        """Pass a line on to the log."""
        self._lines("execute_test", line)

    def file(self, name: str, data: bytes, last: bool) -> None:
        """Keep a piece of a result that was not posted."""
        self._files.write(name, data)

    def _enter(self, state: RunState, message: str) -> None:
        self.started = True
        self._progress.state = state
        self._states += 1
        if self._states <= MAX_STATES:
            LOG.info("%s", state.value)
            self._console.flush()
        self._reports.add(Report(state, message))


class CleanupListener:
    """Collects what a program without tests reports: a clean-up of the cloud, or a post from the spool."""

    def __init__(self) -> None:
        self._lines = _LineLog()
        self.messages: list[str] = []
        self.last: EndEvent | None = None

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep messages and the final event."""
        read = read_event(event)
        if isinstance(read, MessageEvent) and len(self.messages) < MAX_MESSAGES:
            self.messages.append(clean_line(read.text))
        elif isinstance(read, EndEvent):
            self.last = read

    def log(self, line: str) -> None:
        """Pass a line on to the log."""
        self._lines("clean-up", line)

    def file(self, name: str, data: bytes, last: bool) -> None:
        """Ignore it: such a program returns no files."""
