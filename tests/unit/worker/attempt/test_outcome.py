from __future__ import annotations

import pytest

from refstack_worker.contract.execute_test import EndEvent
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
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind, after_error, after_exit, after_stop
from refstack_worker.worker.attempt.stop_request import StopReason
from refstack_worker.worker.sandbox.runner import ProcessExit


@pytest.mark.parametrize(
    ("status", "last", "attempt", "kind", "reason"),
    [
        (0, {"reason": "passed"}, 1, OutcomeKind.POSTED, "passed"),
        (1, {"reason": "tests-failed"}, 1, OutcomeKind.POSTED, "tests-failed"),
        (2, {"reason": "bad-input", "message": "x"}, 1, OutcomeKind.FAILED, "bad-input"),
        (3, {"reason": "cloud", "message": "x"}, 1, OutcomeKind.FAILED, "cloud"),
        (4, {}, 1, OutcomeKind.FAILED, "run"),
        (4, {"reason": "tempest", "message": "x"}, 1, OutcomeKind.FAILED, "tempest"),
        (4, {"reason": "machine", "message": "no space left"}, 1, OutcomeKind.RELEASED, "machine"),
        (4, {"reason": "machine", "message": "no space left"}, 3, OutcomeKind.FAILED, "machine"),
        (5, {"reason": "not-posted"}, 1, OutcomeKind.SPOOLED, "not-posted"),
        (5, {"reason": "refused"}, 1, OutcomeKind.FAILED, "result-refused"),
        (6, {"reason": "server"}, 1, OutcomeKind.RELEASED, "server"),
        (7, {"message": "stopped by the time limit of 60 s"}, 1, OutcomeKind.FAILED, "timeout"),
        (7, {"message": "stopped by signal SIGTERM"}, 1, OutcomeKind.RELEASED, "killed"),
        (-9, {}, 1, OutcomeKind.RELEASED, "killed"),
        (-9, {}, 3, OutcomeKind.FAILED, "killed"),
        (139, {}, 1, OutcomeKind.RELEASED, "killed"),
        (1, {}, 1, OutcomeKind.RELEASED, "killed"),  # Python's own, when it breaks off
        (0, {}, 3, OutcomeKind.FAILED, "killed"),
    ],
)
def test_each_exit_status(status: int, last: dict[str, str], attempt: int, kind: OutcomeKind, reason: str) -> None:
    found = after_exit(ProcessExit(status), EndEvent(status, **last) if last else None, attempt)
    assert (found.kind, found.reason) == (kind, reason)
    assert found.message or kind in (OutcomeKind.POSTED, OutcomeKind.SPOOLED, OutcomeKind.FAILED, OutcomeKind.RELEASED)


def test_a_lost_run_is_not_a_program_that_cannot_start() -> None:
    assert after_exit(ProcessExit(None, "gone", lost=True), None, 1).kind is OutcomeKind.RELEASED
    assert after_exit(ProcessExit(None, "gone", lost=True), None, 3) == AttemptOutcome(
        OutcomeKind.FAILED, "killed", "gone"
    )
    never = after_exit(ProcessExit(None, "no such file"), None, 1)
    assert never.kind is OutcomeKind.RELEASED and never.node_fault and "no such file" in never.message


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (StopReason.CANCELLED, OutcomeKind.CANCELLED),
        (StopReason.TIMEOUT, OutcomeKind.FAILED),
        (StopReason.SHUTDOWN, OutcomeKind.RELEASED),
        (StopReason.UNREACHABLE, OutcomeKind.RELEASED),
        (StopReason.SUPERSEDED, OutcomeKind.STOPPED),
    ],
)
def test_each_stop_reason(reason: StopReason, kind: OutcomeKind) -> None:
    assert after_stop(reason, "why", ProcessExit(-9), None).kind is kind
    assert after_stop(reason, "why", ProcessExit(1), None).kind is kind
    posted = after_stop(reason, "why", ProcessExit(1), EndEvent(1, "tests-failed"))
    assert posted.kind is OutcomeKind.POSTED, "what is posted is posted"


@pytest.mark.parametrize(
    ("error", "mismatched", "kind"),
    [
        (StoreError("full"), False, OutcomeKind.RELEASED),
        (ProcessError("killed"), False, OutcomeKind.RELEASED),
        (RunError("hook"), False, OutcomeKind.RELEASED),
        (WheelError("damaged"), False, OutcomeKind.FAILED),
        (LockError("lists nothing"), False, OutcomeKind.FAILED),
        (PayloadError("no list"), False, OutcomeKind.FAILED),
        (ConfigError("x"), False, OutcomeKind.FAILED),
        (VersionUnavailableError("went"), False, OutcomeKind.RELEASED),
        (VersionUnavailableError("never"), True, OutcomeKind.FAILED),
    ],
)
def test_each_error(error: RefstackError, mismatched: bool, kind: OutcomeKind) -> None:
    found = after_error(error, mismatched)
    assert (found.kind, found.reason) == (kind, error.reason)
    assert str(error) in found.message
