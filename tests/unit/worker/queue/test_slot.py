"""What keeps a slot alive."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.worker.admission.admission import Admission
from refstack_worker.worker.queue import slot as slots
from refstack_worker.worker.queue.gearman_worker import Interrupted


def test_a_fault_on_the_way_to_a_job_does_not_end_the_slot(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slots, "FIRST_REST", 0.01)
    admission, asked = Admission(), []

    def next_job() -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise BrokenPipeError("gone")
        admission.stop()
        raise Interrupted

    slot = slots.Slot(0, SimpleNamespace(), admission, lambda _outcome, _seconds: None)  # type: ignore[arg-type]
    slot.queue = SimpleNamespace(next_job=next_job, shutdown=lambda: None)  # type: ignore[assignment]
    slot.start()
    slot.join(20)
    assert len(asked) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]
