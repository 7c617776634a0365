"""What a run says is told in order, and no more of it than makes sense."""

from __future__ import annotations

import logging

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import MAX_MESSAGE, Report
from refstack_worker.worker.server_api import reports
from refstack_worker.worker.server_api.reports import CleanupListener, ReportQueue


class Slow:
    """Keeps the reports that reach it; a reporter whose server takes its time."""

    def __init__(self) -> None:
        self.told: list[Report] = []

    def report(self, report: Report, patience: float) -> None:
        self.told.append(report)


def test_a_run_that_never_stops_talking_is_told_so_much_and_no_more() -> None:
    reporter = Slow()
    teller = ReportQueue(reporter)  # type: ignore[arg-type]
    for number in range(10_000):
        teller.say(Report(RunState.RUNNING, f"again {number}"))
        teller.say(Report(message=f"{number}\n" + "x" * 100_000))
    teller.close()
    states = [report for report in reporter.told if report.status]
    messages = [report.message for report in reporter.told if not report.status]
    assert len(states) == reports.MAX_STATES and len(messages) == reports.MAX_MESSAGES
    assert messages[7].startswith("7 x") and max(map(len, messages)) == MAX_MESSAGE


def test_a_clean_up_that_never_stops_talking_is_kept_so_much_and_no_more() -> None:
    listener = CleanupListener()
    for number in range(1000):
        listener.event({"event": "message", "text": f"{number} " + "x" * 100_000})
    assert len(listener.messages) == reports.MAX_MESSAGES
    assert max(map(len, listener.messages)) == MAX_MESSAGE


def test_what_a_program_prints_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    listener = CleanupListener()
    with caplog.at_level(logging.INFO, logger="refstack_worker"):
        for number in range(reports.MAX_LINES + 1000):
            listener.log(f"{number} " + "x" * 100_000)
    assert len(caplog.records) == reports.MAX_LINES + 1
    assert "left out" in caplog.messages[-1] and max(map(len, caplog.messages)) < 2100
