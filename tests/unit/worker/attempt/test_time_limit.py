from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.worker.attempt import time_limit
from refstack_worker.worker.attempt.stop_request import StopReason, StopRequest
from refstack_worker.worker.attempt.time_limit import TimeLimit


def heartbeat(state: RunState) -> Any:
    return SimpleNamespace(state=state)


def test_a_run_that_exceeds_it_is_stopped() -> None:
    request = StopRequest()
    limit = TimeLimit(0.0, heartbeat(RunState.RUNNING), request)
    limit.start()
    limit.join(10)
    assert request.reason is StopReason.TIMEOUT and "time limit of 0 s" in request.message


def test_a_run_that_only_posts_gets_more_time() -> None:
    request = StopRequest()
    limit = TimeLimit(0.0, heartbeat(RunState.POSTING), request)
    limit.start()
    assert not request.requested.wait(0.05) and limit.is_alive()
    limit.cancel()
    limit.join(10)
    assert request.reason is None


def test_the_time_for_posting_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "POSTING_MARGIN", 0.0)
    request = StopRequest()
    limit = TimeLimit(0.0, heartbeat(RunState.POSTING), request)
    limit.start()
    limit.join(10)
    assert request.reason is StopReason.TIMEOUT


def test_a_run_that_ended_is_not_stopped() -> None:
    request = StopRequest()
    limit = TimeLimit(600.0, heartbeat(RunState.RUNNING), request)
    limit.start()
    limit.cancel()
    limit.join(10)
    assert not limit.is_alive() and request.reason is None
