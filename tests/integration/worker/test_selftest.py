"""The self-test run: through a real queue, store and run agent, with a real Tempest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import GearmanSettings, NodeSettings, RunSettings, WorkerSettings
from refstack_worker.errors import QueueError, VersionUnavailableError
from refstack_worker.gearman import Server
from refstack_worker.worker.doctor import selftest, selftest_server
from tests.support import tempests


@pytest.fixture
def queue() -> Iterator[str]:
    server = Server(port=0, host="127.0.0.1")
    yield f"127.0.0.1:{server.port}"
    server.shutdown()


def settings(tmp_path: Path, queue: str, locks: Path) -> WorkerSettings:
    return WorkerSettings(
        environments=EnvironmentSettings(store=tempests.CACHE / "store", lock_folders=(locks,)),
        node=NodeSettings(name="n1", state_folder=tmp_path / "state"),
        gearman=GearmanSettings(servers=(queue,)),
        run=RunSettings(runner="embedded", environments=tmp_path / "environments"),
    )


def test_a_node_that_works_passes_and_keeps_nothing(tmp_path: Path, queue: str) -> None:
    outcome = selftest.run(settings(tmp_path, queue, tempests.locked("47.0.0")), "47.0.0")
    assert outcome.state == "finished", outcome.message
    assert outcome.passed == 5
    assert outcome.failed == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_console_of_a_real_tempest(tmp_path: Path, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[selftest_server.SelfTestServer] = []
    made = selftest_server.SelfTestServer.__init__

    def remembered(self: selftest_server.SelfTestServer) -> None:
        made(self)
        servers.append(self)

    monkeypatch.setattr(selftest_server.SelfTestServer, "__init__", remembered)
    outcome = selftest.run(settings(tmp_path, queue, tempests.locked("47.0.0")), "47.0.0")
    assert outcome.passed == 5, outcome.message
    lines = servers[0].record.console
    tests = [line for line in lines if line["event"] == "test" and line["test"].startswith("tempest.")]
    assert sorted(line["status"] for line in tests) == ["passed"] * 5 + ["started"] * 5
    requests_sent = [line for line in lines if line["event"] == "request"]
    assert requests_sent and {line["service"] for line in requests_sent} == {"identity"}
    assert {line["status"] for line in requests_sent} <= {200, 201, 300}
    assert all(line["path"].startswith("/") and line["method"] in ("GET", "POST") for line in requests_sent)
    assert servers[0].password not in str(lines)


def test_a_version_that_is_not_there(tmp_path: Path, queue: str) -> None:
    with pytest.raises(VersionUnavailableError, match="1.2.3: not on this node"):
        selftest.run(settings(tmp_path, queue, tmp_path), "1.2.3")


def test_a_queue_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "QUEUE_SECONDS", 0.5)
    with pytest.raises(QueueError, match="does not accept the self-test run"):
        selftest.run(settings(tmp_path, "127.0.0.1:1", tempests.locked("47.0.0")), "47.0.0")


def test_a_run_that_does_not_start_is_no_success(tmp_path: Path, queue: str) -> None:
    usual = settings(tmp_path, queue, tempests.locked("47.0.0"))
    broken = dataclasses.replace(usual, run=dataclasses.replace(usual.run, execute_test="/bin/false"))
    assert selftest.run(broken, "47.0.0").state != "finished"


def test_the_server_wants_the_proof() -> None:
    with selftest_server.serving() as server:
        answer = requests.get(f"{server.url}/get-miniconf?test_id=1", timeout=5)
        assert answer.status_code == 401
        assert server.record.refused == ["/get-miniconf?test_id=1"]
        body = {"auth": {"identity": {"password": {"user": {"name": "selftest", "password": "wrong"}}}}}
        assert requests.post(f"{server.url}/v3/auth/tokens", json=body, timeout=5).status_code == 401
