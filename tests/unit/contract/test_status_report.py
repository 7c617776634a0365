from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import MAX_MESSAGE, Progress, Report, clean_line
from refstack_worker.errors import PayloadError


def test_progress_travels() -> None:
    progress = Progress(58, 20, 18, 1, 1, 12, "tempest.api.x")
    assert Progress.from_json(progress.to_json()) == progress
    assert Progress.from_json({"done": 3, "of the future": 1}) == Progress(done=3)


@pytest.mark.parametrize(
    "value", [None, [], "x", {"done": -1}, {"done": True}, {"done": "3"}, {"total": 1e99}, {"test": 3}]
)
def test_progress_that_is_none(value: Any) -> None:
    with pytest.raises(PayloadError):
        Progress.from_json(value)


def test_a_report_travels() -> None:
    report = Report(RunState.RUNNING, "58 tests", "", "node-1")
    assert Report.from_json(report.to_json()) == report
    assert Report.from_json({}) == Report()
    with pytest.raises(PayloadError, match="not a run state"):
        Report.from_json({"status": "dancing"})
    with pytest.raises(PayloadError):
        Report.from_json({"message": 3})


@given(st.text(max_size=3000))
def test_a_message_is_one_printable_line(text: str) -> None:
    line = clean_line(text)
    assert len(line) <= MAX_MESSAGE
    assert line.isprintable()


def test_no_line_can_be_smuggled_into_a_log() -> None:
    assert clean_line("done\r\n2026-11-22 root logged in\x1b[2J") == "done  2026-11-22 root logged in [2J"
