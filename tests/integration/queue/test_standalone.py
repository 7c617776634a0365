"""``refstack-queue standalone`` as a user with a laptop uses it: its own worker, its folder, its end."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys

import pytest

from refstack_worker.cli.api_client import Access, Api
from tests.integration.conftest import TEMPEST
from tests.support.process_table import below, command_lines
from tests.support.processes import Program, eventually


class Alone:
    """A stand-alone queue in a folder, started and ended as often as a test likes."""

    def __init__(self, base, locks):
        self.base = base
        self.folder = base / "queue"
        self.ready = base / "ready"
        self.locks = locks
        self.program = None

    def start(self, *words):
        self.ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "refstack_worker.cli.queue.main", "standalone", "--folder", str(self.folder)]
        command += ["--locks", str(self.locks), "--ready-file", str(self.ready), *words]
        self.program = Program(command, self.base / "standalone.log")
        eventually(lambda: f"ready\n{self.program.text()}", self.ready.exists)
        told = json.loads(self.ready.read_text())
        self.api = Api(Access(told["url"], (self.folder / "token").read_text().strip()))
        return told

    def has_worker(self):
        return any(node["state"] == "ready" for node in self.api.get("/v1/nodes")["nodes"])


@pytest.fixture
def alone(tmp_path, locks):
    made = Alone(tmp_path, locks)
    yield made
    if made.program is not None:
        made.program.end()


def test_run_on_one_machine_then_a_restart_and_a_clean_end(alone, cloud):
    told = alone.start()
    assert told["pid"] == alone.program.pid
    for secret in ("token", "keys/sign.key", "keys/fleet.key", "keys/store.key"):
        assert stat.S_IMODE((alone.folder / secret).stat().st_mode) == 0o600
    cases = {"names": ["tempest.api.identity.v3.test_tokens"]}
    run = {"tempest_version": TEMPEST, "conf_json": cloud.tempest_conf(), "testcases": cases}
    test_id = alone.api.post("/v1/runs", run)["test_id"]
    ended = eventually(
        lambda: f"the run ends\n{(alone.folder / 'worker.log').read_text()[-3000:]}",
        lambda: _ended(alone.api.get(f"/v1/runs/{test_id}")), 240,
    )  # fmt: skip
    assert (ended["state"], ended["counts"]["failed"]) == ("finished", 0), ended
    children = below(alone.program.pid)
    assert children
    assert alone.program.end() == 0
    assert not children & set(command_lines())

    again = alone.start()
    assert again["url"] == told["url"]
    assert alone.api.get(f"/v1/runs/{test_id}")["state"] == "finished"
    eventually("its worker is back", alone.has_worker)


def test_run_that_was_queued_before_a_restart_is_carried_out_after_it(alone, cloud):
    alone.start("--no-worker")
    cases = {"names": ["tempest.api.identity.v3.test_tokens"]}
    run = {"tempest_version": TEMPEST, "conf_json": cloud.tempest_conf(), "testcases": cases}
    test_id = alone.api.post("/v1/runs", run)["test_id"]
    path = f"/v1/runs/{test_id}/attempts"
    eventually("the queue has it", lambda: alone.api.get(path)["attempts"][0]["submitted_at"])
    alone.program.kill()
    alone.start()
    ended = eventually("the run ends", lambda: _ended(alone.api.get(f"/v1/runs/{test_id}")), 240)
    assert ended["state"] == "finished", ended


def test_killed_it_leaves_no_worker_behind_and_a_dead_worker_is_started_again(alone):
    alone.start()
    eventually("its worker is there", alone.has_worker)
    (worker,) = below(alone.program.pid)
    os.kill(worker, signal.SIGKILL)
    fresh = eventually("another worker", lambda: below(alone.program.pid) - {worker})
    assert worker not in fresh
    assert "the worker ended with status -9" in alone.program.text()
    alone.program.kill()
    eventually("the worker has gone too", lambda: not set(fresh) & set(command_lines()), 30)


def test_second_one_on_the_same_folder_is_refused(alone):
    alone.start("--no-worker")
    words = [sys.executable, "-m", "refstack_worker.cli.queue.main", "standalone", "--folder", str(alone.folder)]
    second = Program(words, alone.base / "second.log")
    assert second.process.wait(60) == 3
    assert "another 'refstack-queue standalone' is using this folder" in second.text()


def _ended(run):
    return run if run["state"] in ("finished", "failed", "cancelled") else None
