"""A run as a vendor sees it, end to end: real services, queue and worker, a real Tempest, a real Keystone and Swift.

Each test runs with gearmand and PostgreSQL, and with the embedded queue and SQLite (for a change, some of them).
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest

from tests.integration.conftest import TEMPEST
from tests.support.process_table import below, command_lines, files_with
from tests.support.processes import eventually

SHORT = ["tempest.api.identity.v3.test_tokens", "tempest.api.object_storage.test_account_services"]
MIDDLE = ["tempest.api.object_storage.test_object_services"]
"""About forty tests: long enough for something to happen in between."""
LONG = ["tempest.api.object_storage", "tempest.api.identity"]
NUMBERS = itertools.count(1)


@pytest.fixture
def worker(site, locks):
    """Start workers of a site, each with a name of its own, and end them with the test."""
    site.locks = [locks]
    started = []

    def start(**more):
        name = f"node-{next(NUMBERS)}"
        started.append(name)
        program = site.start_worker(name, **more)
        eventually(lambda: f"{name} is ready\n{program.text()[-3000:]}", lambda: name in nodes(site))
        return program

    yield start
    for name in started:
        site.workers.pop(name).end()
    for run in site.api.get("/v1/runs", {"limit": 200})["runs"]:
        if run["state"] not in ("finished", "failed", "cancelled"):
            site.api.post(f"/v1/runs/{run['test_id']}/cancel")


def nodes(site):
    return [node["name"] for node in site.api.get("/v1/nodes")["nodes"]]


def create(site, cloud, names, **more):
    conf = copy.deepcopy(cloud.tempest_conf())
    for section, values in more.pop("conf", {}).items():
        conf.setdefault(section, {}).update(values)
    spec = {"tempest_version": TEMPEST, "testcases": {"names": names}, "concurrency": 2, "timeout": 600, **more}
    return site.create(conf, **spec)


def in_the_middle(site, test_id, done=3):
    """Wait until some tests of a run have ended and others have not."""

    def is_there():
        run = site.show(test_id)
        assert run["state"] not in ("finished", "failed", "cancelled"), f"{run}\n{site.logs()[-4000:]}"
        return run if run["state"] == "running" and run["progress"]["done"] >= done else None

    run = eventually(lambda: f"run {test_id} is in the middle\n{site.logs()[-3000:]}", is_there, 120)
    # how many there are is reported when the run has gone on for some seconds
    assert not run["progress"]["total"] or run["progress"]["done"] < run["progress"]["total"]
    return run


def left_behind(program_folder: Path):
    """What is left of runs below a worker's folder: run folders and environments."""
    return [path for name in ("runs", "environments") for path in (program_folder / name).glob("*") if path.is_dir()]


def test_run_passes_and_its_password_is_found_nowhere(site, worker, cloud):
    program = worker()
    base = program.log.parent
    test_id = create(site, cloud, MIDDLE)
    in_the_middle(site, test_id)
    password = cloud.admin_password
    where = {pid: line for pid, line in command_lines().items() if password in line}
    assert where == {}, "on a command line"
    assert environments_with(password, program.pid) == []
    for path in files_with(password, site.folder):
        assert base / "runs" in path.parents, f"{path} is not the run's own"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    run = site.wait_for(test_id, "finished", patience=300)
    assert run["attempt"] == 1
    assert run["counts"]["passed"] > 30
    assert site.queue("run", "watch", str(test_id)).status == (1 if run["counts"]["failed"] else 0)
    report = site.queue("run", "report", str(test_id), "--subunit", str(base / "saved"), "-f", "json").json()
    assert {name: report[name] for name in ("passed", "failed", "skipped")} == run["counts"]
    assert len(report["failed_tests"]) == run["counts"]["failed"]
    assert (base / "saved").stat().st_size > 10_000
    states = [line.partition(":")[0] for line in site.said(test_id).splitlines()]
    for state in ("queued", "claimed", "building", "running", "posting", "finished"):
        assert state in states
    eventually("the node is clean", lambda: not left_behind(base) and len(below(program.pid)) == 0)
    assert files_with(password, site.folder) == []
    assert password not in site.logs()
    assert password not in site.said(test_id)


def test_short_run_over_http_commands_alone(site, worker, cloud, tmp_path):
    worker()
    conf = cloud.tempest_conf()
    password = conf["auth"].pop("admin_password")
    (tmp_path / "conf.json").write_text(json.dumps(conf))
    (tmp_path / "password").touch(mode=0o600)
    (tmp_path / "password").write_text(f"auth.admin_password={password}\n")
    (tmp_path / "cases").write_text("# two modules\n" + "\n".join(SHORT))
    words = ["--tempest-version", TEMPEST, "--conf-json", f"@{tmp_path / 'conf.json'}", "--concurrency", "2"]
    words += ["--password-file", str(tmp_path / "password"), "--testcases", f"@{tmp_path / 'cases'}"]
    made = site.queue("run", "create", *words, "-f", "json").json()
    watched = site.queue("run", "watch", str(made["test_id"]))
    assert watched.status == 0, watched
    assert re.search(r"passed: \d+ passed, 0 failed", watched.out)
    again = site.queue("run", "rerun", str(made["test_id"]), "--conf-json", f"@{tmp_path / 'conf.json'}",
                       "--password-file", str(tmp_path / "password"), "-f", "json").json()  # fmt: skip
    assert again["rerun_of"] == made["test_id"]
    assert site.queue("run", "watch", str(again["test_id"])).status == 0


def test_the_console_has_each_test_and_request_once_and_in_order(site, worker, cloud):
    worker()
    test_id = create(site, cloud, MIDDLE)
    in_the_middle(site, test_id)
    eventually("lines arrive while it runs", lambda: site.api.get(f"/v1/runs/{test_id}/console")["lines"], 60)
    run = site.wait_for(test_id, "finished", patience=300)

    def ended_tests():
        lines = _console(site, test_id)
        ended = [line for line in lines if line["event"] == "test" and line["status"] != "started"]
        return (
            lines if len([line for line in ended if "(" not in line["test"]]) >= sum(run["counts"].values()) else None
        )

    lines = eventually("the last lines arrive", ended_tests, 30)
    assert [line["number"] for line in lines] == list(range(len(lines)))
    requests = [line for line in lines if line["event"] == "request"]
    ids = [line["request_id"] for line in requests if line["request_id"]]
    assert len(requests) > 50 and len(ids) == len(set(ids))
    assert {"identity", "object-store"} <= {line["service"] for line in requests}
    assert cloud.admin_password not in str(lines)
    log = site.queue("run", "log", str(test_id), "--tempest").out
    assert log.count("rest_client") >= len(requests) and cloud.admin_password not in log


def _console(site, test_id):
    lines = []
    while True:
        after = {"after": lines[-1]["number"]} if lines else {}
        page = site.api.get(f"/v1/runs/{test_id}/console", {"limit": 500, **after})["lines"]
        lines += page
        if not page:
            return lines


def test_killed_worker_the_run_finishes_as_attempt_2_and_counts_once(site, worker, cloud):
    first = worker()
    test_id = create(site, cloud, MIDDLE)
    in_the_middle(site, test_id)
    belonging = below(first.pid)
    first.kill()
    eventually("nothing of the dead worker's run is alive", lambda: not belonging & set(command_lines()), 20)
    worker()
    run = site.wait_for(test_id, "finished", patience=300)
    assert run["attempt"] == 2
    attempts = run["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["lost", "finished"]
    report = site.api.get(f"/v1/runs/{test_id}/report")
    assert report["attempt"] == 2
    tests = site.api.get(f"/v1/runs/{test_id}/results", {"limit": 2000})["tests"]
    names = [test["name"] for test in tests]
    assert len(names) == len(set(names)) == sum(run["counts"].values())
    assert site.said(test_id).count("finished") == 1


def test_stopped_worker_hands_the_run_back_and_another_takes_it(site, worker, cloud):
    first = worker()
    test_id = create(site, cloud, MIDDLE)
    in_the_middle(site, test_id)
    assert first.end() == 0
    assert left_behind(first.log.parent) == []
    worker()
    run = site.wait_for(test_id, "finished", patience=300)
    assert (run["attempt"], run["attempts"][0]["outcome"]) == (2, "released")


def test_cancel_in_the_middle_ends_state_and_processes_within_five_seconds(site, worker, cloud):
    program = worker()
    test_id = create(site, cloud, LONG)
    in_the_middle(site, test_id)
    # the agent stays a little longer: it removes from the cloud what the run left there
    lines = command_lines()
    belonging = {pid for pid in below(program.pid) if "sandbox.agent" not in lines.get(pid, "")}
    assert len(belonging) >= 3, "execute_test, tempest, its test processes"
    began = time.monotonic()
    assert site.queue("run", "cancel", str(test_id), "-f", "json").json()["state"] in ("cancelling", "cancelled")
    while alive(belonging) or site.show(test_id)["state"] != "cancelled":
        assert time.monotonic() - began < 5, f"still alive: {[lines[pid] for pid in alive(belonging)]}"
        time.sleep(0.02)
    print(f"cancel: {time.monotonic() - began:.2f} s from the command to the state and the last process gone")
    run = site.show(test_id)
    assert (run["attempt"], run["reason"]) == (1, "cancelled")
    eventually("the node is clean", lambda: not left_behind(program.log.parent) and not below(program.pid), 60)
    assert "clean-up:" in site.said(test_id)
    assert site.queue("run", "watch", str(test_id)).status == 9


@pytest.mark.parametrize(
    ("conf", "reason"),
    [
        ({"auth": {"admin_password": "not-the-password"}}, "cloud"),
        ({"identity": {"uri_v3": "http://127.0.0.1:9/v3"}}, "cloud"),
    ],
    ids=["wrong-password", "cloud-refused"],
)
def test_cloud_that_refuses_ends_the_run_with_its_reason(site, worker, cloud, conf, reason):
    program = worker()
    test_id = create(site, cloud, SHORT, conf=conf)
    run = site.wait_for(test_id, "failed", patience=120)
    assert (run["reason"], run["attempt"]) == (reason, 1)
    assert len(run["message"]) > 20
    assert site.queue("run", "watch", str(test_id)).status == 11
    eventually("the node is clean", lambda: not left_behind(program.log.parent) and not below(program.pid), 60)


def test_test_cases_that_select_nothing_are_the_vendors_mistake(site, worker, cloud):
    worker()
    test_id = create(site, cloud, ["tempest.api.nothing.of.this.name"])
    run = site.wait_for(test_id, "failed", patience=120)
    assert run["reason"] == "bad-input", run


def test_frozen_worker_is_replaced_and_its_late_words_change_nothing(site, worker, cloud):
    first = worker()
    test_id = create(site, cloud, MIDDLE)
    in_the_middle(site, test_id)
    frozen = {first.pid, *below(first.pid)}
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        worker()
        eventually("attempt 2", lambda: site.show(test_id)["attempt"] == 2, 60)
        eventually("attempt 2 is held", lambda: site.show(test_id)["state"] in ("running", "posting", "finished"), 120)
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    run = site.wait_for(test_id, "finished", patience=300)
    assert run["attempt"] == 2
    assert site.api.get(f"/v1/runs/{test_id}/report")["attempt"] == 2
    eventually("the superseded run has stopped", lambda: not left_behind(first.log.parent) and not below(first.pid), 60)


def alive(pids):
    return pids & set(process_ids())


def process_ids():
    """Living processes, zombies left out."""
    return below(1) | {os.getpid()}


def environments_with(text, pid):
    """Processes below one in whose environment a text stands."""
    found = []
    for child in {pid, *below(pid)}:
        with contextlib.suppress(OSError):
            if text.encode() in Path(f"/proc/{child}/environ").read_bytes():
                found.append(child)
    return found


def test_operators_pause_resume_and_drain_a_node_from_the_server(site, worker, cloud):
    program = worker()
    name = program.log.parent.name

    def state():
        return {node["name"]: node["state"] for node in site.api.get("/v1/nodes")["nodes"]}.get(name)

    def ask(order, expected):
        assert site.queue("worker", order, name).status == 0
        # the node hears of it with its next report, within 30 s
        eventually(lambda: f"{name} is {expected}\n{program.text()[-2000:]}", lambda: state() == expected, 60)

    ask("pause", "paused")
    first = create(site, cloud, LONG)
    time.sleep(3)
    assert site.show(first)["state"] == "queued"
    ask("resume", "ready")
    in_the_middle(site, first)
    ask("drain", "draining")
    second = create(site, cloud, SHORT)
    # the run goes on; it is not waited for here, where it is long enough to see the order arrive
    assert site.show(first)["state"] == "running"
    assert site.queue("run", "cancel", str(first), "--wait").status == 0
    eventually("the drained node has ended", lambda: program.process.poll() is not None, 60)
    assert site.show(second)["state"] == "queued"
    asked = [one["target"] for one in site.api.get("/v1/audit")["entries"] if one["action"] == "ask node"]
    assert asked[:3] == [f"/v1/nodes/{name}/commands (action: {order})" for order in ("drain", "resume", "pause")]
