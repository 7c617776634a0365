from __future__ import annotations

from itertools import product

import pytest

from refstack_worker.contract.states import ENDS, HELD, RunState, check_move, may_move, status_text
from refstack_worker.errors import StateError


def test_an_end_is_an_end() -> None:
    assert not [new for old, new in product(ENDS, RunState) if may_move(old, new)]


def test_every_run_can_reach_an_end_from_everywhere() -> None:
    for state in set(RunState) - ENDS:
        assert may_move(state, RunState.FAILED)
        assert may_move(state, RunState.CANCELLED)


def test_only_what_a_worker_holds_can_finish() -> None:
    assert {old for old in RunState if may_move(old, RunState.FINISHED)} == HELD


def test_a_cancelled_run_never_goes_back_to_the_queue() -> None:
    assert not may_move(RunState.CANCELLING, RunState.QUEUED)
    assert not may_move(RunState.CANCELLING, RunState.RUNNING)


def test_work_goes_forward_only() -> None:
    order = [RunState.QUEUED, RunState.CLAIMED, RunState.BUILDING, RunState.RUNNING, RunState.POSTING]
    for place, old in enumerate(order):
        assert not [new for new in order[1:place] if may_move(old, new)]
        assert may_move(old, RunState.QUEUED)


def test_the_message_names_both_states() -> None:
    with pytest.raises(StateError, match="finished cannot become running"):
        check_move(RunState.FINISHED, RunState.RUNNING)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("queued", "Queued"),
        ("claimed: attempt 1 by node-1 with Tempest 47.0.0", "Picked up by node-1 with Tempest 47.0.0"),
        ("claimed: attempt 2 by node-1 with Tempest 47.0.0", "Picked up by node-1 with Tempest 47.0.0 (attempt 2)"),
        ("building: Preparing Tempest 47.0.0", "Preparing Tempest 47.0.0"),
        ("posting: 42 passed, 16 failed", "Uploading results: 42 passed, 16 failed"),
        # how the tests went is in the rest
        ("finished: 42 passed, 16 failed", "Finished: 42 passed, 16 failed"),
        ("failed: the cloud is away", "Error: the cloud is away"),
        ("shard 2: claimed: attempt 1 by b with Tempest 47.0.0", "Shard 2: Picked up by b with Tempest 47.0.0"),
        ("shard 2: running: 5 tests", "Shard 2: Running: 5 tests"),
        ("5 of 60 tests", "5 of 60 tests"),
        ("clean-up: nothing is left", "clean-up: nothing is left"),
        ("failed to find a flavor", "failed to find a flavor"),
        ("", ""),
    ],
)
def test_messages_have_the_words_of_the_pages(message: str, shown: str) -> None:
    assert status_text(message) == shown
