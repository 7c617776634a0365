from __future__ import annotations

import pytest

from refstack_worker.errors import (
    ConfigError,
    LockError,
    PayloadError,
    ProcessError,
    RefstackError,
    RunError,
    StoreError,
    VersionUnavailableError,
    WheelError,
)
from refstack_worker.worker.attempt import outcome
from refstack_worker.worker.attempt.outcome import Kind
from refstack_worker.worker.sandbox.runner import End
from refstack_worker.worker.server_api.heartbeat import Order


@pytest.mark.parametrize(
    ("status", "said", "attempt", "kind", "reason"),
    [
        (0, {"reason": "passed"}, 1, Kind.POSTED, "passed"),
        (1, {"reason": "tests-failed"}, 1, Kind.POSTED, "tests-failed"),
        (2, {"reason": "bad-input", "message": "x"}, 1, Kind.FAILED, "bad-input"),
        (3, {"reason": "cloud", "message": "x"}, 1, Kind.FAILED, "cloud"),
        (4, {}, 1, Kind.FAILED, "run"),
        (4, {"reason": "tempest", "message": "x"}, 1, Kind.FAILED, "tempest"),
        (4, {"reason": "machine", "message": "no space left"}, 1, Kind.RELEASED, "machine"),
        (4, {"reason": "machine", "message": "no space left"}, 3, Kind.FAILED, "machine"),
        (5, {"reason": "not-posted"}, 1, Kind.SPOOLED, "not-posted"),
        (5, {"reason": "refused"}, 1, Kind.FAILED, "result-refused"),
        (6, {"reason": "server"}, 1, Kind.RELEASED, "server"),
        (7, {"message": "stopped by the time limit of 60 s"}, 1, Kind.FAILED, "timeout"),
        (7, {"message": "stopped by signal SIGTERM"}, 1, Kind.RELEASED, "killed"),
        (-9, {}, 1, Kind.RELEASED, "killed"),
        (-9, {}, 3, Kind.FAILED, "killed"),
        (139, {}, 1, Kind.RELEASED, "killed"),
    ],
)
def test_each_exit_status(status: int, said: dict[str, str], attempt: int, kind: Kind, reason: str) -> None:
    found = outcome.of_end(End(status), said, attempt)
    assert (found.kind, found.reason) == (kind, reason)
    assert found.message or kind in (Kind.POSTED, Kind.SPOOLED, Kind.FAILED, Kind.RELEASED)


def test_a_lost_run_is_not_a_program_that_cannot_start() -> None:
    assert outcome.of_end(End(None, "gone", lost=True), {}, 1).kind is Kind.RELEASED
    assert outcome.of_end(End(None, "gone", lost=True), {}, 3) == outcome.Ending(Kind.FAILED, "killed", "gone")
    never = outcome.of_end(End(None, "no such file"), {}, 1)
    assert never.kind is Kind.RELEASED and never.node_fault and "no such file" in never.message


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (Order.CANCEL, Kind.CANCELLED),
        (Order.TIMEOUT, Kind.FAILED),
        (Order.HAND_BACK, Kind.RELEASED),
        (Order.LOST, Kind.RELEASED),
        (Order.STOP, Kind.STOPPED),
    ],
)
def test_each_order(order: Order, kind: Kind) -> None:
    assert outcome.of_order(order, "why", End(-9)).kind is kind
    assert outcome.of_order(order, "why", End(1)).kind is Kind.POSTED, "what is posted is posted"


@pytest.mark.parametrize(
    ("error", "mismatched", "kind"),
    [
        (StoreError("full"), False, Kind.RELEASED),
        (ProcessError("killed"), False, Kind.RELEASED),
        (RunError("hook"), False, Kind.RELEASED),
        (WheelError("damaged"), False, Kind.FAILED),
        (LockError("lists nothing"), False, Kind.FAILED),
        (PayloadError("no list"), False, Kind.FAILED),
        (ConfigError("x"), False, Kind.FAILED),
        (VersionUnavailableError("went"), False, Kind.RELEASED),
        (VersionUnavailableError("never"), True, Kind.FAILED),
    ],
)
def test_each_error(error: RefstackError, mismatched: bool, kind: Kind) -> None:
    found = outcome.of_error(error, mismatched)
    assert (found.kind, found.reason) == (kind, error.reason)
    assert str(error) in found.message
