"""A run gets the names of its tests and how long they took; where that fails, it goes on without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from refstack_worker.config.worker import RunSettings, WorkerSettings
from refstack_worker.environments.environment import BuiltEnvironment
from refstack_worker.worker.attempt.known_tests import known_tests
from refstack_worker.worker.sandbox.commands import NOTHING_KNOWN, KnownTests
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from tests.support.http_server import Reply, Scripted, as_json

DURATIONS = "/worker/v1/runs/7/attempts/2/durations"


def built(folder: Path) -> BuiltEnvironment:
    (folder / "names").write_text("a.B.test_c\n")
    return BuiltEnvironment(folder, "47.0.0", 1, folder / "names")


def test_names_and_durations(
    claimed: ClaimedAttempt, settings: WorkerSettings, server: Scripted, tmp_path: Path
) -> None:
    server.on(DURATIONS, as_json({"durations": {"a.B": {"test_c": 2.5}}}))
    assert known_tests(built(tmp_path), claimed, settings) == KnownTests(b"a.B.test_c\n", {"a.B.test_c": 2.5})
    (asked,) = server.asked
    assert asked.headers["Authorization"] == f"Bearer {claimed.token}"


def test_a_server_that_does_not_know_them_costs_nothing(
    claimed: ClaimedAttempt, settings: WorkerSettings, server: Scripted, tmp_path: Path
) -> None:
    for reply in (Reply(404, b"no"), as_json({"durations": []}), Reply(500)):
        server.on(DURATIONS, reply)
        assert known_tests(built(tmp_path), claimed, settings) == KnownTests(b"a.B.test_c\n")


def test_one_process_needs_no_durations(
    claimed: ClaimedAttempt, settings: WorkerSettings, server: Scripted, tmp_path: Path
) -> None:
    serial = replace(claimed, payload=replace(claimed.payload, concurrency=1))
    assert known_tests(built(tmp_path), serial, settings) == KnownTests(b"a.B.test_c\n")
    assert server.asked == []


def test_nothing_is_known(claimed: ClaimedAttempt, settings: WorkerSettings, tmp_path: Path) -> None:
    environment = built(tmp_path)
    other = replace(settings, run=RunSettings(execute_test="/opt/execute_test"))
    assert known_tests(environment, claimed, other) == NOTHING_KNOWN
    assert known_tests(replace(environment, names_file=None), claimed, settings) == NOTHING_KNOWN
    (tmp_path / "names").unlink()
    assert known_tests(environment, claimed, settings) == NOTHING_KNOWN
