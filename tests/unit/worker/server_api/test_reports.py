from __future__ import annotations

from refstack_worker.contract.messages import MAX_MESSAGE
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.worker.server_api import reports
from refstack_worker.worker.server_api.reports import ReportQueue


class RecordingApi:
    """Keeps the reports that reach it."""

    def __init__(self) -> None:
        self.received: list[Report] = []

    def report(self, report: Report, patience: float) -> None:
        self.received.append(report)


def test_reports_of_a_run_are_bounded_in_number_and_length() -> None:
    api = RecordingApi()
    queue = ReportQueue(api)  # type: ignore[arg-type]
    for number in range(10_000):
        queue.add(Report(RunState.RUNNING, f"again {number}"))
        queue.add(Report(message=f"{number}\n" + "x" * 100_000))
    queue.close()
    states = [report for report in api.received if report.status]
    messages = [report.message for report in api.received if not report.status]
    assert len(states) == reports.MAX_STATES and len(messages) == reports.MAX_MESSAGES
    assert messages[7].startswith("7 x") and max(map(len, messages)) == MAX_MESSAGE


def test_the_order_is_kept() -> None:
    api = RecordingApi()
    queue = ReportQueue(api)  # type: ignore[arg-type]
    for number in range(50):
        queue.add(Report(message=str(number)))
    queue.close()
    assert [report.message for report in api.received] == [str(number) for number in range(50)]
