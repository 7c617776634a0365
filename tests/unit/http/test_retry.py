from __future__ import annotations

import logging
import threading
import time

import pytest

from refstack_worker.http.retry import retrying

LOG = logging.getLogger("test")


class Flaky:
    def __init__(self, failures: int) -> None:
        self.calls = 0
        self._failures = failures

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            raise ConnectionError(f"failure {self.calls}")
        return self.calls


def test_a_passing_failure_is_tried_again_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    call = Flaky(2)
    with caplog.at_level("WARNING"):
        assert retrying(ConnectionError, seconds=60, log=LOG, first_pause=0.001)(call) == 3
    assert [message.split(";")[0] for message in caplog.messages] == ["failure 1", "failure 2"]


def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    call = Flaky(10**9)
    with pytest.raises(ConnectionError, match=r"failure \d+"):
        retrying(ConnectionError, seconds=0.05, log=LOG, first_pause=0.01)(call)
    assert call.calls > 1


def test_no_time_means_one_try() -> None:
    call = Flaky(1)
    with pytest.raises(ConnectionError, match="failure 1"):
        retrying(ConnectionError, seconds=0, log=LOG)(call)


def test_another_error_is_not_tried_again() -> None:
    call = Flaky(1)
    with pytest.raises(ConnectionError):
        retrying(ValueError, seconds=60, log=LOG)(call)
    assert call.calls == 1


def test_giving_up_ends_the_pause() -> None:
    call, given_up = Flaky(10**9), threading.Event()
    began = time.monotonic()
    threading.Timer(0.05, given_up.set).start()
    with pytest.raises(ConnectionError):
        retrying(ConnectionError, seconds=3600, log=LOG, given_up=given_up, first_pause=3600, max_pause=3600)(call)
    assert time.monotonic() - began < 1800


def test_pauses_grow_up_to_the_longest_and_stay_within_the_time() -> None:
    caller = retrying(ConnectionError, seconds=100, log=LOG, first_pause=1, max_pause=8)
    state = type("State", (), {"seconds_since_start": 0.0, "attempt_number": 1})()
    pauses = []
    for state.attempt_number in range(1, 7):
        pauses.append(caller.wait(state))
    assert all(low / 2 <= pause <= low for pause, low in zip(pauses, (1, 2, 4, 8, 8, 8)))
    state.seconds_since_start = 99.5
    assert caller.wait(state) <= 0.5
