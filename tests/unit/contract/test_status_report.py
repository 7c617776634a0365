from __future__ import annotations

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import PayloadError


def test_a_report_travels() -> None:
    report = Report(RunState.RUNNING, "58 tests", "", "node-1")
    assert Report.from_json(report.to_json()) == report
    assert Report.from_json({}) == Report()
    with pytest.raises(PayloadError, match="not a run state"):
        Report.from_json({"status": "dancing"})
    with pytest.raises(PayloadError):
        Report.from_json({"message": 3})
