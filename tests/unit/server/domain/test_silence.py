"""When users see that the node of a run has stopped reporting."""

from __future__ import annotations

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.attempts import silent_seconds


@pytest.mark.parametrize(
    ("state", "heard_at", "expected"),
    [
        (RunState.RUNNING, 1000.0, 0),
        (RunState.RUNNING, 991.0, 0),
        (RunState.RUNNING, 990.0, 10),
        (RunState.RUNNING, 982.9, 15),
        (RunState.CANCELLING, 940.0, 60),
        (RunState.QUEUED, 940.0, 0),
        (RunState.FINISHED, 940.0, 0),
        # the parts of a split run are heard, the whole is not
        (RunState.RUNNING, 0.0, 0),
    ],
)
def test_only_a_node_that_holds_a_run_is_silent(state: RunState, heard_at: float, expected: int) -> None:
    assert silent_seconds(state, heard_at, 1000.0, 2.0) == expected


def test_a_short_interval_is_still_told_in_whole_steps() -> None:
    assert silent_seconds(RunState.RUNNING, 999.0, 1000.0, 0.2) == 5
