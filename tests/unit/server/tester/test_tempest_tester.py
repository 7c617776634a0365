from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from refstack_worker import execute_test_program
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract.states import RunState
from refstack_worker.errors import ConfigError, PayloadError, StateError
from refstack_worker.gearman import Server
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.tester import tempest_tester
from refstack_worker.server.tester.tempest_tester import TempestTester
from tests.support.ledgers import CONF, PASSWORD, Event, make_settings, stream
from tests.support.worker_parts import eventually


@pytest.fixture
def gearman() -> Iterator[Server]:
    server = Server(port=0, host="127.0.0.1")
    yield server
    server.shutdown()


@pytest.fixture
def given() -> dict[str, Any]:
    return {"TEMPEST_VERSION": "47.0.0", "TEMPEST_CONFIG": {"identity": {"region": "RegionOne"}}}


@pytest.fixture
def settings(tmp_path: Path, gearman: Server, given: dict[str, Any]) -> ServerSettings:
    return make_settings(tmp_path, GEARMAN_SERVER="127.0.0.1", GEARMAN_PORT=gearman.port, **given)


@pytest.fixture
def tester(ledger: Ledger) -> TempestTester:
    with ledger.database.writing() as connection:
        cloud = {"label": "acme", "endpoint_v3": "https://keystone/v3", "test_user": "demo", "version": "2025.1"}
        connection.execute(insert(legacy_tables.cloud).values(id=5, **cloud))
        connection.execute(insert(legacy_tables.test).values(id=41, cloud_id=5))
    return TempestTester(41, ledger)


def only_job(gearman: Server) -> Any:
    """Return the job of the queue; gear's server answers before it has put it there."""
    (job,) = eventually(lambda: list(gearman.jobs.values()))
    return job


@pytest.mark.parametrize("test_id", [42, 0, -1, "x", "", None, 2**40])
def test_an_unknown_id_is_a_value_error(ledger: Ledger, test_id: Any) -> None:
    with pytest.raises(ValueError, match="Invalid test ID"):
        TempestTester(test_id, ledger)


def test_what_is_known_before_the_run(tester: TempestTester) -> None:
    assert json.loads(tester.generate_miniconf()) == {
        "identity": {
            "auth_version": "v3",
            "region": "RegionOne",
            "uri_v3": "https://keystone/v3",
            "username": "demo",
        }
    }
    assert json.loads(tester.generate_testcases()) == {"testcases": ["tempest"]}
    assert json.loads(tester.get_result()) == {"test_id": 41, "state": "", "finished": False}


@pytest.mark.parametrize("extra", [CONF, json.dumps(CONF)])
def test_run_gearman_records_and_submits(tester: TempestTester, gearman: Server, extra: Any) -> None:
    run = tester.execute_test(extra)
    assert (run.test_id, run.state, run.spec.tempest_version) == (41, RunState.QUEUED, "47.0.0")
    assert tester.ledger.runs.conf_json(41) == CONF
    job = only_job(gearman)
    assert (job.name, job.binary_unique) == (b"refstack:tempest:47.0.0", b"41:1")
    assert job.arguments.startswith(b"rsw1.")
    (attempt,) = tester.ledger.attempts.of_run(41)
    assert attempt.submitted_at > 0 and attempt.server == f"127.0.0.1:{gearman.port}"
    with pytest.raises(StateError):
        tester.execute_test(extra)


def test_a_queue_that_is_away_loses_nothing(tester: TempestTester, gearman: Server) -> None:
    gearman.shutdown()
    assert tester.execute_test(CONF).state is RunState.QUEUED
    (again,) = tester.ledger.submissions.next()
    assert again.key.test_id == 41


@pytest.mark.parametrize("extra", ["{", "[]", '{"a": {"b": 1}, "a": {}}', {"DEFAULT": {"log_file": "x"}}], ids=str)
def test_bad_options(tester: TempestTester, extra: Any) -> None:
    with pytest.raises(PayloadError):
        tester.execute_test(extra)
    assert not tester.ledger.runs.exists(41)


def test_result(tester: TempestTester, tmp_path: Path) -> None:
    (tmp_path / "result").write_bytes(stream([Event("a.b[id-00000000-0000-0000-0000-000000000001]")]))
    submission = tester.ledger.runs.add_held(
        tempest_tester.NewRun(RunSpec("47.0.0"), CONF, test_id=41), Claim("claim", "local")
    )
    acceptance.accept(
        tester.ledger, Proof(41, submission.secret, 1, proofs.mark("claim")), Upload.of(tmp_path / "result", {})
    )
    found = json.loads(tester.get_result())
    assert found["finished"] is True and (found["passed"], found["failed"]) == (1, 0)
    assert found["tests"] == [{"name": "a.b", "id": "00000000-0000-0000-0000-000000000001", "status": "passed"}]


class TestWithoutAVersion:
    @pytest.fixture
    def given(self) -> dict[str, Any]:
        return {}

    def test_the_clouds_release_is_asked_for(self, tester: TempestTester, gearman: Server) -> None:
        assert tester.execute_test(CONF).spec == RunSpec(openstack_release="2025.1", timeout=14400)
        job = only_job(gearman)
        assert job.name == b"refstack:openstack:2025.1"

    def test_or_one_is_needed(self, tester: TempestTester) -> None:
        with tester.ledger.database.writing() as connection:
            connection.execute(legacy_tables.cloud.update().values(version="our own"))
        with pytest.raises(ConfigError, match="TEMPEST_VERSION"):
            TempestTester(41, tester.ledger).execute_test(CONF)


class TestLocal:
    @pytest.fixture
    def given(self, tmp_path: Path) -> dict[str, Any]:
        return {
            "TEST_METHOD": "local",
            "TEMPEST_VERSION": "47.0.0",
            "TEMPEST_HOME": str(tmp_path / "nowhere"),
            "HEARTBEAT_SECONDS": 0.1,
        }

    def end(self, tester: TempestTester) -> None:
        for thread in threading.enumerate():
            if thread.name == "run 41:1":
                thread.join(60)
        assert tester.ledger.runs.get(41).state.is_end

    def test_what_goes_wrong_is_told(self, tester: TempestTester, settings: ServerSettings) -> None:
        run = tester.execute_test(CONF)
        assert run.worker == "local"
        self.end(tester)
        run = tester.ledger.runs.get(41)
        assert (run.state, run.reason) == (RunState.FAILED, "tempest") and "nowhere" in run.message
        assert not list((settings.data / "runs").iterdir())

    def test_a_cancel_ends_it(self, tester: TempestTester, tmp_path: Path) -> None:
        programs = tmp_path / "nowhere" / "bin"
        programs.mkdir(parents=True)
        os.mkfifo(tmp_path / "begun")
        for name in ("tempest", "python"):
            (programs / name).write_text(f"#!/bin/sh\necho $$ > {tmp_path}/begun\nexec sleep 1000\n")
            (programs / name).chmod(0o755)
        tester.execute_test(CONF)
        # blocks until execute_test has started the program
        pid = int((tmp_path / "begun").read_text())
        assert str(PASSWORD) not in Path(f"/proc/{pid}/cmdline").read_text()
        tester.ledger.runs.cancel(41, "me")
        self.end(tester)
        assert tester.ledger.runs.get(41).state is RunState.CANCELLED
        assert not Path(f"/proc/{pid}").exists()

    def test_nobody_else_can_take_it(self, tester: TempestTester) -> None:
        tester.ledger.runs.add_held(tempest_tester.NewRun(RunSpec("47.0.0"), CONF, test_id=41), Claim("c", "local"))
        assert tester.ledger.submissions.next() == []

    def test_odd_lines_and_progress_without_an_estimate_do_not_end_the_watch(
        self, tester: TempestTester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = [
            "Warning: not an event", "[1]", "null",
            json.dumps({"event": "progress", "total": 4, "done": 1, "seconds_left": None}),
            json.dumps({"event": "state", "state": "no such state"}),
            json.dumps({"event": "message", "text": "still heard"}),
            json.dumps({"event": "end", "exit_code": 3, "reason": "cloud", "message": "no such cloud"}),
        ]  # fmt: skip
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\ncat > /dev/null\ncat <<'END'\n" + "\n".join(lines) + "\nEND\nexit 3\n")
        program.chmod(0o755)
        monkeypatch.setattr(execute_test_program, "command", lambda: (str(program),))
        tester.execute_test(CONF)
        self.end(tester)
        run = tester.ledger.runs.get(41)
        assert (run.state, run.reason, run.message) == (RunState.FAILED, "cloud", "no such cloud")
        assert "still heard" in str(tester.ledger.runs.messages(41))
