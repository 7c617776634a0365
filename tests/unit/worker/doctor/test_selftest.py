"""The parts of the self-test; the whole run is in the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.doctor import selftest
from refstack_worker.worker.doctor.selftest_server import SelfTestServer, serving


@pytest.fixture
def server() -> Iterator[SelfTestServer]:
    with serving() as server:
        yield server


def outcome(server: SelfTestServer, kind: OutcomeKind, message: str = "") -> selftest.SelfTestOutcome:
    return selftest._outcome("47.0.0", AttemptOutcome(kind, message=message), server, "embedded", (0.12345, 3.0))


def test_passed_tests_are_a_success(server: SelfTestServer) -> None:
    server.record.counts = {"passed": 5, "failed": 0}
    result = outcome(server, OutcomeKind.POSTED)
    assert (result.state, result.passed, result.queue_seconds) == ("finished", 5, 0.123)


@pytest.mark.parametrize(
    ("kind", "counts", "refused", "state"),
    [
        (OutcomeKind.POSTED, {"passed": 4, "failed": 1}, [], "tests-failed"),
        (OutcomeKind.POSTED, {}, [], "tests-failed"),
        (OutcomeKind.POSTED, {"passed": 5}, ["/get-miniconf"], "tests-failed"),
        (OutcomeKind.RELEASED, {"passed": 5}, [], "released"),
    ],
)
def test_everything_else_is_not(
    server: SelfTestServer, kind: OutcomeKind, counts: dict[str, int], refused: list[str], state: str
) -> None:
    server.record.counts, server.record.refused = counts, refused
    assert outcome(server, kind).state == state


def test_the_message_is_the_outcomes_or_the_last_reports(server: SelfTestServer) -> None:
    server.record.messages = ["one", "two", "three", "four"]
    assert outcome(server, OutcomeKind.FAILED, "no agent").message == "no agent"
    assert outcome(server, OutcomeKind.FAILED).message == "two; three; four"


def test_nothing_of_the_daemon_is_touched(settings: WorkerSettings, tmp_path: Path) -> None:
    separate = selftest._settings(settings, tmp_path / "scratch", "http://127.0.0.1:1")
    assert separate.node.name.endswith("-selftest")
    for path in (separate.node.state_folder, separate.spool_folder, separate.run.folder, separate.run.pre_run_hooks):
        assert (tmp_path / "scratch") in path.parents
    assert separate.server.urls == ("http://127.0.0.1:1",)
    assert separate.environments == settings.environments, "the node's own store is what is tested"
