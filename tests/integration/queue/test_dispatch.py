"""Services, queue and commands as processes of their own, with a Gearman client of the test's in the worker's place."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import zlib

import gear
import pytest
import requests

from refstack_worker import gearman
from refstack_worker.config import server as config
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import keys
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.connection import CLOCK_MARGIN, GearmanConnection
from tests.support.process_table import files_with
from tests.support.processes import eventually

PASSWORD = "a-Password-of-the-cloud-5150"
CONF = {"identity": {"uri_v3": "http://127.0.0.1:9/v3", "password": PASSWORD}}
WORDS = ("--tempest-version", "47.0.0", "--regex", "object", "--label", "mine", "--priority", "high")
FUNCTION = "refstack:tempest:47.0.0"
VERSION = {"tempest_version": "47.0.0"}


@contextlib.contextmanager
def gearman_worker(site, function=FUNCTION):
    """A Gearman worker that anybody who reaches the port can be."""
    worker = gear.Worker("foreign")
    worker.addServer("127.0.0.1", site.queue_port)
    worker.waitForServer(20)
    worker.registerFunction(function)
    try:
        yield worker
    finally:
        worker.shutdown()


def grab(worker, patience=60.0):
    got = []
    thread = threading.Thread(target=lambda: got.append(worker.getJob()), daemon=True)
    thread.start()
    thread.join(patience)
    assert got, "no job came"
    return got[0]


def grab_of(worker, test_id):
    """Grab until a job of this run comes; what other tests left in the queue is thrown away."""
    while True:
        job = grab(worker)
        if job.unique.decode().partition(":")[0] == str(test_id):
            return job
        job.sendWorkComplete()


@pytest.fixture(autouse=True)
def nothing_left(request):
    yield
    if "site" in request.fixturenames:
        site = request.getfixturevalue("site")
        for run in site.api.get("/v1/runs", {"limit": 200})["runs"]:
            if run["state"] not in ("finished", "failed", "cancelled", "cancelling"):
                site.api.post(f"/v1/runs/{run['test_id']}/cancel")


def zlib_opens(data):
    with contextlib.suppress(zlib.error):
        return zlib.decompress(data)
    return None


def opener(site):
    folder = site.folder / "keys"
    return sealing.Opener(keys.load_seal_private(folder / "fleet.key"), keys.load_sign_public(folder / "sign.pub"))


def test_foreign_client_reads_nothing_and_can_do_nothing_with_what_it_grabbed(site):
    test_id = site.create(CONF, **VERSION)
    with gearman_worker(site) as worker:
        job = grab_of(worker, test_id)
        assert job.unique.decode() == f"{test_id}:1"
        assert PASSWORD.encode() not in job.arguments
        assert b"127.0.0.1" not in job.arguments
        # what is only written in other letters would hide nothing
        box = base64.urlsafe_b64decode(job.arguments.rpartition(b".")[2] + b"==")
        assert PASSWORD.encode() not in box and b"callback" not in box and zlib_opens(box) is None
        envelope = job.arguments.decode()
        assert set(envelope) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
        for headers in ({}, {"Authorization": f"Bearer {envelope}"}, {"Authorization": f"Bearer {'A' * 43}"}):
            for path in ("get-miniconf", "get-testcases"):
                answer = requests.get(f"{site.url}/{path}", {"test_id": test_id}, headers=headers, timeout=20)
                assert answer.status_code in (401, 403), answer.text
            answer = requests.post(
                f"{site.url}/post-result", params={"test_id": test_id, "attempt": 1}, headers=headers,
                files={"file": ("subunit", b"\xb3")}, timeout=20,
            )  # fmt: skip
            assert answer.status_code in (401, 403), answer.text
            status = {"payload": envelope, "test_id": test_id, "status": "failed", "message": "hello"}
            answer = requests.post(f"{site.url}/update-test-status/", json=status, headers=headers, timeout=20)
            assert answer.status_code == 405, answer.text
            base = f"{site.url}/worker/v1/runs/{test_id}/attempts/1"
            answer = requests.post(f"{base}/claim", json={"claim": "x", "worker": "me"}, headers=headers, timeout=20)
            assert answer.status_code in (401, 403), answer.text
    run = site.show(test_id)
    assert (run["state"], run["attempt"]) == ("queued", 1)
    assert not any("hello" in message["message"] for message in run["messages"])
    assert files_with(PASSWORD, site.folder) == []


def test_node_that_took_the_same_job_cannot_speak_for_the_one_that_claimed_it(site):
    """gearmand gives a job again when its worker's connection ends: two nodes have the secret, one the claim."""
    test_id = site.create(CONF, **VERSION)
    with gearman_worker(site) as worker:
        job = grab_of(worker, test_id)
        payload = opener(site).open(job.arguments)
        base = f"{site.url}/worker/v1/runs/{test_id}/attempts/1"
        bare = {"Authorization": f"Bearer {payload.secret}"}
        claim = {"claim": "of the second", "worker": "node-2", "tempest_version": "47.0.0"}
        assert requests.post(f"{base}/claim", json=claim, headers=bare, timeout=20).status_code == 200
        said = {"payload": job.arguments.decode(), "test_id": test_id, "status": "failed"}
        of_first = {"Authorization": f"Bearer {proofs.join(payload.secret, 'of the first')}"}
        for headers in (bare, of_first):
            answer = requests.post(f"{site.url}/update-test-status/", data=said, headers=headers, timeout=20)
            assert (answer.status_code, answer.json()["reason"]) == (405, "claimed")
            result = f"{site.url}/post-result?test_id={test_id}&attempt=1"
            answer = requests.post(result, files={"file": b"x"}, headers=headers, timeout=20)
            assert (answer.status_code, answer.json()["reason"]) == (409, "claimed")
        assert site.show(test_id)["state"] == "claimed"
        job.sendWorkComplete()


def test_holder_of_the_secret_may_report_and_is_heard(site):
    test_id = site.create(CONF, **VERSION)
    with gearman_worker(site) as worker:
        job = grab_of(worker, test_id)
        payload = opener(site).open(job.arguments)
        assert payload.conf_json["identity"]["password"] == PASSWORD
        proof = {"Authorization": f"Bearer {payload.secret}"}
        base = f"{payload.callback}/worker/v1/runs/{test_id}/attempts/1"
        claim = {"claim": "abc", "worker": "node-x", "tempest_version": "47.0.0"}
        assert requests.post(f"{base}/claim", json=claim, headers=proof, timeout=20).status_code == 200
        proof = {"Authorization": f"Bearer {proofs.join(payload.secret, 'abc')}"}
        status = {
            "payload": job.arguments.decode(),
            "test_id": test_id,
            "status": "building",
            "message": f"pw {PASSWORD}",
        }
        assert (
            requests.post(f"{site.url}/update-test-status/", data=status, headers=proof, timeout=20).status_code == 202
        )
        job.sendWorkComplete()
    run = site.show(test_id)
    assert (run["state"], run["worker"]) == ("building", "node-x")
    assert PASSWORD not in json.dumps(run)
    # and when nothing more is heard of it, the run goes on
    eventually("attempt 2", lambda: site.show(test_id)["attempt"] == 2)
    assert "node-x sent no heartbeat" in site.said(test_id)


def test_cancel_of_a_queued_run_is_at_once_and_takes_the_job_out(site):
    began = time.monotonic()
    site.create(CONF, **VERSION)
    # a job is taken out only over a connection that is surely older than it
    eventually("the server's connection is old", lambda: time.monotonic() - began > CLOCK_MARGIN + 1)
    test_id = site.create(CONF, **VERSION)
    other = site.create(CONF, **VERSION)
    eventually("both are queued", lambda: set(jobs(site)) >= {f"{test_id}:1", f"{other}:1"})
    assert site.queue("run", "cancel", str(test_id), "-f", "json").json()["state"] == "cancelled"
    eventually("its job is withdrawn", lambda: withdrawn(site, test_id))
    with gearman_worker(site) as worker:
        seen = set()
        while f"{other}:1" not in seen:
            job = grab(worker)
            seen.add(job.unique.decode())
            job.sendWorkComplete()
    assert f"{test_id}:1" not in seen


def test_pause_holds_runs_back_and_resume_lets_them_go(site):
    assert site.queue("pause").status == 0
    test_id = site.create(CONF, **VERSION)
    assert site.show(test_id)["state"] == "queued"
    assert site.queue("status", "-f", "json").json()["paused"] is True
    with gearman_worker(site) as worker:
        assert f"{test_id}:1" not in jobs(site)
        assert site.queue("resume").status == 0
        assert grab_of(worker, test_id).unique.decode() == f"{test_id}:1"


def test_job_handed_out_while_paused_is_refused_and_comes_again(site):
    test_id = site.create(CONF, **VERSION)
    with gearman_worker(site) as worker:
        job = grab_of(worker, test_id)
        site.queue("pause")
        payload = opener(site).open(job.arguments)
        base = f"{site.url}/worker/v1/runs/{test_id}/attempts/1"
        answer = requests.post(
            f"{base}/claim", json={"claim": "abc", "worker": "node-x"}, timeout=20,
            headers={"Authorization": f"Bearer {payload.secret}"},
        )  # fmt: skip
        assert (answer.status_code, answer.json()["reason"]) == (409, "paused")
        job.sendWorkComplete()
        site.queue("resume")
        assert grab_of(worker, test_id).unique.decode() == f"{test_id}:2"


def test_queue_killed_and_started_again_loses_nothing(own_site):
    site = own_site
    ids = [site.create(CONF, **VERSION) for _ in range(3)]
    eventually("all are queued", lambda: len(jobs(site)) == 3)
    if site.gearmand:
        site.gearmand.kill()
        while_away = site.create(CONF, **VERSION)
        assert site.show(while_away)["state"] == "queued"
        site.gearmand.start()
    else:
        site.services[0].kill()
        site.start_services()
        while_away = site.create(CONF, **VERSION)
    uniques = set()
    with gearman_worker(site) as worker:
        while {int(unique.partition(":")[0]) for unique in uniques} != {*ids, while_away}:
            job = grab(worker, 90)
            uniques.add(job.unique.decode())
            job.sendWorkComplete()
    assert {f"{test_id}:1" for test_id in ids} <= uniques or not site.gearmand, "libsqlite3 keeps background jobs"


def test_no_node_serves_is_said(site):
    test_id = site.create(CONF, tempest_version="33.0.0")
    eventually("the message is shown", lambda: "no node serves 33.0.0" in site.said(test_id))
    assert site.show(test_id)["state"] == "queued"


def test_wrong_token_and_other_commands(site, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("rsq_" + "x" * 43)
    answer = site.queue("--token-file", str(wrong), "run", "list")
    assert answer.status == 8, answer.err
    assert "token" in answer.err
    assert site.queue("run", "show", "4711").status == 6
    made = site.queue("run", "create", *WORDS, "--conf-json", "-", "-f", "json", input=json.dumps(CONF)).json()
    assert [row["Id"] for row in site.queue("run", "list", "--state", "queued", "-f", "json").json()] == [
        made["test_id"]
    ]
    shown = site.queue("run", "show", str(made["test_id"]), "-f", "json").json()
    assert (shown["testcases"], shown["label"], shown["priority"]) == ({"regexes": ["object"]}, "mine", 1)
    assert site.queue("run", "cancel", str(made["test_id"]), "--wait").status == 0
    assert site.queue("run", "watch", str(made["test_id"])).status == 9
    assert site.queue("run", "report", str(made["test_id"])).status == 6
    assert "database" in site.queue("status").out
    assert [row["State"] for row in site.queue("keys", "show", "-f", "json").json()] == ["in use"] * 3
    assert site.queue("worker", "list", "-f", "json").json() == []
    assert site.queue("db", "version", "-f", "json").json()["database"]


def test_the_queue_tells_who_waits_from_what_somebody_keeps(site):
    """By which the monitor finds a job that was taken by one who does not claim it."""
    made = [site.create(CONF, **VERSION) for _ in range(2)]
    eventually("both are in the queue", lambda: {f"{test_id}:1" for test_id in made} <= set(jobs(site)))
    with gearman_worker(site) as thief:
        job = grab_of(thief, made[0])
        told = {unique: kept for unique, kept in jobs(site).items() if int(unique.partition(":")[0]) in made}
        assert told == {f"{made[0]}:1": True, f"{made[1]}:1": False}
        job.sendWorkComplete()
        eventually("it is complete", lambda: f"{made[0]}:1" not in jobs(site))


def jobs(site):
    """The jobs of the queue by their uniques, and whether a worker has them; asked for in both languages."""
    link = GearmanConnection(gearman.Address("127.0.0.1", site.queue_port))
    try:
        runs = site.api.get("/v1/runs")["runs"]
        pairs = [(f"{run['test_id']}:{run['attempt']}", "") for run in runs]
        return link.known(pairs) if pairs else {}
    finally:
        link.close()


def withdrawn(site, test_id):
    """Whether the job of a cancelled run has been taken out of the queue."""
    ledger = Ledger(config.load(site.config))
    try:
        return test_id not in [job.key.test_id for job in ledger.submissions.to_withdraw()]
    finally:
        ledger.close()
