from __future__ import annotations

import pytest

from refstack_worker.worker.attempt.stop_request import StopReason, StopRequest


def test_the_first_request_wins_and_late_listeners_are_called() -> None:
    request = StopRequest()
    calls = []
    request.on_stop(lambda: calls.append("early"))
    assert request.cancel("by ann")
    assert not request.make(StopReason.SHUTDOWN, "restart")
    request.on_stop(lambda: calls.append("late"))
    assert (request.reason, request.message) == (StopReason.CANCELLED, "by ann")
    assert calls == ["early", "late"]


def test_a_shutdown_is_visible_after_another_request() -> None:
    request = StopRequest()
    request.cancel("")
    assert request.requested.is_set() and not request.shutting_down.is_set()
    request.make(StopReason.SHUTDOWN)
    assert request.shutting_down.is_set()


@pytest.mark.parametrize("first", [reason for reason in StopReason if reason is not StopReason.SUPERSEDED])
def test_a_superseded_attempt_must_stay_silent_whatever_came_before(first: StopReason) -> None:
    request = StopRequest()
    request.make(first, "first")
    assert request.supersede("claimed by another node")
    assert not request.supersede("again")
    assert (request.reason, request.message) == (StopReason.SUPERSEDED, "claimed by another node")
    assert not request.make(first)


def test_nothing_is_requested_at_first() -> None:
    request = StopRequest()
    assert request.reason is None and not request.requested.is_set()
