"""How far a run is: the same value in events, heartbeats and the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.contract.messages import MAX_MESSAGE
from refstack_worker.contract.progress import Progress


def test_progress_travels() -> None:
    progress = Progress(58, 20, 18, 1, 1, 12, "tempest.api.x")
    assert Progress.from_json(progress.to_json()) == progress
    assert Progress.from_json({"done": 3, "of the future": 1}) == Progress(done=3)


def test_no_estimate_is_zero_in_a_heartbeat() -> None:
    sent = Progress(done=1).to_json()
    assert sent["seconds_left"] == 0
    assert Progress.from_json(sent).seconds_left is None
    assert Progress.from_json({"done": 1.0, "seconds_left": None}) == Progress(done=1)


def test_name_of_the_test_is_one_printable_line() -> None:
    assert Progress.from_json({"test": "a\nb\x1b" + "c" * 2000}).test.startswith("a b c")
    assert len(Progress.from_json({"test": "c" * 2000}).test) == MAX_MESSAGE


@pytest.mark.parametrize(
    "value", [None, [], "x", {"done": -1}, {"done": True}, {"done": "3"}, {"total": 1e99}, {"test": 3}]
)
def test_values_that_are_not_progress(value: Any) -> None:
    with pytest.raises(ValueError, match="progress: "):
        Progress.from_json(value)
