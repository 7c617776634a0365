from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.contract.console import ConsoleLine, RequestLine, TestLine, line_to_json
from refstack_worker.contract.messages import MAX_MESSAGE
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.worker.sandbox import listeners
from refstack_worker.worker.sandbox.listeners import CleanupListener, RunListener


class Sinks:
    """Everything that a listener passes on."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.files: list[tuple[str, bytes]] = []
        self.console = SimpleNamespace(add=lambda line: self.lines.append(line), flush=lambda: None)
        self.lines: list[ConsoleLine] = []
        self.heartbeat: Any = SimpleNamespace(state=RunState.BUILDING, progress=Progress())
        self.add = self.reports.append

    def write(self, name: str, data: bytes) -> None:
        self.files.append((name, data))


@pytest.fixture
def sinks() -> Sinks:
    return Sinks()


@pytest.fixture
def listener(sinks: Sinks) -> RunListener:
    return RunListener(sinks, sinks.heartbeat, sinks.console, sinks)


def test_a_state_reaches_the_heartbeat_and_the_reports(listener: RunListener, sinks: Sinks) -> None:
    assert not listener.started
    listener.event({"event": "state", "state": "running", "message": "Testing"})
    assert listener.started and sinks.heartbeat.state is RunState.RUNNING
    assert sinks.reports == [Report(RunState.RUNNING, "Testing")]


@pytest.mark.parametrize("state", ["finished", "cancelled", "queued", "x", 3, None, ["running"]])
def test_a_run_sets_no_other_state(listener: RunListener, sinks: Sinks, state: object) -> None:
    listener.event({"event": "state", "state": state})
    assert not listener.started and not sinks.reports and sinks.heartbeat.state is RunState.BUILDING


def test_progress_reaches_the_heartbeat(listener: RunListener, sinks: Sinks) -> None:
    listener.event({"event": "progress", "total": 4, "done": 1, "passed": 1, "seconds_left": None})
    assert (sinks.heartbeat.progress.total, sinks.heartbeat.progress.done) == (4, 1)
    listener.event({"event": "progress", "total": -1})
    assert sinks.heartbeat.progress.total == 4, "nonsense is ignored"


def test_messages_files_and_the_end(listener: RunListener, sinks: Sinks) -> None:
    listener.event({"event": "message", "text": "found"})
    listener.file("subunit", b"x", True)
    listener.event({"event": "end", "reason": "passed"})
    listener.event({"event": "unknown"})
    assert sinks.reports == [Report(message="found")] and sinks.files == [("subunit", b"x")]
    assert listener.last is not None and listener.last.reason == "passed"


def test_lines_of_the_console_are_passed_on(listener: RunListener, sinks: Sinks) -> None:
    lines = [TestLine(1.0, "tempest.a.B.test_c", "started"), RequestLine(1.5, "GET", "/v3", 200, 12)]
    for line in lines:
        listener.event(line_to_json(line))
    listener.event({"event": "test", "test": "no time"})
    assert sinks.lines == lines and not listener.started


def test_a_run_that_repeats_its_state_does_not_fill_the_log(
    listener: RunListener, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="refstack_worker"):
        for _ in range(1000):
            listener.event({"event": "state", "state": "running"})
    assert len(caplog.records) == listeners.MAX_STATES


def test_messages_of_a_clean_up_are_bounded() -> None:
    listener = CleanupListener()
    for number in range(1000):
        listener.event({"event": "message", "text": f"{number} " + "x" * 100_000})
    assert len(listener.messages) == listeners.MAX_MESSAGES
    assert max(map(len, listener.messages)) == MAX_MESSAGE


def test_the_output_of_a_program_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    listener = CleanupListener()
    with caplog.at_level(logging.INFO, logger="refstack_worker"):
        for number in range(listeners.MAX_LINES + 1000):
            listener.log(f"{number} " + "x" * 100_000)
    assert len(caplog.records) == listeners.MAX_LINES + 1
    assert "left out" in caplog.messages[-1] and max(map(len, caplog.messages)) < 2100
