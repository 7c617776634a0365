"""Made the files of this folder, with the code of commit d3c427a; see README.md.

    PYTHONPATH=CHECKOUT python make.py CHECKOUT FOLDER

CHECKOUT is a work tree of that commit. Needs gearmand and a PostgreSQL server. The current code cannot run this script.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from refstack_worker.config import server as server_config
from refstack_worker.config import worker as worker_config
from refstack_worker.config.server import ServerSettings, from_mapping
from refstack_worker.config.worker import SpoolSettings
from refstack_worker.contract import keys, sealing
from refstack_worker.contract.payload import Payload, Testcases, now
from refstack_worker.contract.report import Progress, Report
from refstack_worker.contract.states import RunState
from refstack_worker.server import models
from refstack_worker.server.api import create_app
from refstack_worker.server.client import QueueClient
from refstack_worker.server.ledger_results import Upload
from refstack_worker.server.records import Claim, GiveBack, Heartbeat, NewRun, Node, QueuedJob, RunSpec
from refstack_worker.server.records_users import Choice, CloudCheck, NewCloud, StoredGuideline
from refstack_worker.server.store import Store
from refstack_worker.worker.held import Notes
from refstack_worker.worker.reporter import Held
from refstack_worker.worker.spool import RELEASE, REPORT, RESULT, Entry, Spool
from sqlalchemy import insert
from tests.integration.postgresql import Cluster, find_programs
from tests.integration.processes import Gearmand, free_port
from tests.system.web.site import PROGRAM, events, guideline
from tests.unit.server.ledger import Clock, Event, Job, stream

ADDRESS = "http://refstack.takeover.example"
"""Callback of every run. Nothing answers there: a test serves it as an HTTP proxy would."""
PASSWORD = "takeover-password-7391"
CONF = {"identity": {"uri_v3": f"{ADDRESS}/no-cloud/v3", "password": PASSWORD, "username": "interop"}}
NODE = "node-1"
PATHS = (
    *("/v1/runs", "/v1/nodes", "/v1/queue", "/v1/tokens", "/v1/clouds", "/v1/guidelines", "/v1/vendors", "/v1/users"),
    *("/v1/demand", "/v1/me", "/v1/clouds/1/history", "/v1/runs/1/verdict", "/v1/runs/1/compare/2"),
    *("/v1/runs/1/shares", "/v1/guidelines/1"),
)
OF_A_RUN = ("", "/attempts", "/messages", "/results", "/place")


class Maker:
    """One ledger on its way, and what of it has to be written down to use it again."""

    def __init__(self, folder: Path, settings: ServerSettings) -> None:
        self.folder = folder
        self.clock = Clock()
        self.clock.time = 1_795_600_000.0
        self.store = Store.open(settings, self.clock)
        self.tokens: dict[str, str] = {}
        self.held: dict[str, tuple[Job, Held]] = {}
        files = settings.keys
        self.sealer = sealing.Sealer(keys.load_sign_private(files.sign), keys.load_seal_public(files.fleet))
        folder = files.sign.parent
        self.opener = sealing.Opener(
            keys.load_seal_private(folder / "fleet.key"), keys.load_sign_public(folder / "sign.pub")
        )

    def fill(self) -> None:
        self.store.upgrade()
        self.accounts()
        self.ended_runs()
        self.waiting_runs()
        self.held_runs()
        with self.store.database.writing() as connection:  # a test of RefStack's from before the queue
            connection.execute(insert(models.test).values(cloud_id=2, finished=True, subunit="/srv/result"))
        self.store.pause("operator")
        self.store.resume("operator")

    def accounts(self) -> None:
        store = self.store
        for name, vendor in (("ann", "Acme Cloud"), ("bob", "Bravo Hosting")):
            user = store.add_user(name, f"{name}@example.org", store.add_vendor(vendor, "C. Ontact", f"c@{name}").id)
            self.tokens[name] = store.add_token(f"{name}'s token", ["vendor"], user.id)[1]
        self.tokens["operator"] = store.add_token("operator", ["operator"])[1]
        self.tokens["expired"] = store.add_token("expired", ["operator"], None, self.clock() + 1)[1]
        token, self.tokens["revoked"] = store.add_token("revoked", ["operator"])
        store.revoke_token(token.id)
        self.tokens["session"] = store.add_session(store.tokens()[0])
        keeps = {"identity": {"password": PASSWORD, "admin_password": "takeover-admin-8264"}}
        cloud = NewCloud("Acme Public", "https://identity.acme.example/v3", "fra-1", "2025.1", "interop", "interop-2",
                         "interop-admin", "v3", 1, keeps)  # fmt: skip
        store.note_check(store.add_cloud(cloud).cloud.id, CloudCheck(True, "Keystone v3, 6 services"))
        store.add_cloud(NewCloud("Bravo Private", "https://keystone.bravo.example/v3", user_id=2))
        store.add_guideline(guideline(), StoredGuideline(0, "", "", "https://lists.example/2026.06.json", "operator"))
        store.add_guideline(guideline("2026.01"), StoredGuideline(0, "", "", "", "ann", 1))
        store.node_seen(Node(NODE, ("47.0.0", "46.3.0"), 2, 1, ("eu",), "ready", "0.1.0", self.clock(), self.clock()))
        with store.database.writing() as connection:  # RefStack's own, which the queue never writes
            connection.execute(insert(models.apikey).values(name="old key", key="k" * 40, user_id=1))

    def ended_runs(self) -> None:
        store = self.store
        store.choose(self.finish(self.begin("passed", label="First", cloud_id=1), events()), Choice(1, PROGRAM, True))
        store.share(1, 2)
        failing = self.begin("with failures", label="Second – zweite", cloud_id=1, rerun_of=1)
        self.finish(failing, [*events(["objectstore-object-get"]), Event("setUpClass (a.b.C)", "fail", PASSWORD)])
        self.report(self.begin("failed", owner_id=2, cloud_id=2), RunState.FAILED, "401 from the cloud", "cloud")
        cancelled = self.add("cancelled")
        store.cancel(cancelled, "ann")
        store.accept_anonymous(self.upload(stream([Event("a.b.c")])))

    def waiting_runs(self) -> None:
        self.add("queued", RunSpec("", "2025.1", {}, None, 2, 600, "gpu", 1))
        self.to_queue = self.add("in the queue", cloud_id=1)

    def held_runs(self) -> None:
        self.begin("claimed")
        job = self.begin("running")
        self.store.give_back(job.submission.key, GiveBack.LOST, "node-2 went silent")
        again = self.take(job.submission.key.test_id, "running")
        self.report(again, RunState.RUNNING, "24 tests")
        progress = Progress(total=24, done=9, passed=8, failed=1, skipped=0, seconds_left=12.5, test="tempest.api.T.t")
        self.store.heartbeat(again.proof, Heartbeat(again.claim_id, NODE, progress))
        self.report(self.begin("building"), RunState.BUILDING, "Tempest 47.0.0 on Python 3.11")
        self.store.cancel(self.begin("cancelling").submission.key.test_id, "ann")
        for name in ("result in the spool", "report in the spool", "release in the spool", "noted"):
            self.report(self.begin(name), RunState.RUNNING, "24 tests")
        self.report(self.held["result in the spool"][0], RunState.POSTING, "24 tests")

    def add(self, label: str, spec: RunSpec | None = None, **more: Any) -> int:
        self.clock.forward(60)
        plain = RunSpec("47.0.0", "", {}, Testcases(("tempest.api.identity",), ("smoke",)), 2, 600)
        new = NewRun(spec or plain, CONF, **{"label": label, "created_by": "ann", "owner_id": 1, **more})
        return self.store.add_run(dataclasses.replace(new, idempotency_key=secrets.token_hex(8))).test_id

    def begin(self, name: str, **more: Any) -> Job:
        return self.take(self.add(more.pop("label", name), **more), name)

    def take(self, test_id: int, name: str) -> Job:
        """Do what queue client and worker do up to the claim."""
        store = self.store
        (one,) = store.next_to_submit(test_id=test_id)
        spec = one.spec
        payload = Payload(
            *(one.key.test_id, one.key.attempt, ADDRESS, one.conf_json, one.secret, now(), spec.tempest_version),
            testcases=spec.testcases, concurrency=spec.concurrency, timeout=spec.timeout,
        )  # fmt: skip
        envelope = self.sealer.seal(payload)
        store.sealed([(one, sealing.digest(envelope))])
        store.submitted([QueuedJob(one.key, "127.0.0.1:4730", f"H:node:{test_id}", spec.function, self.clock())])
        job = Job(one, envelope, secrets.token_hex(16))
        self.clock.forward(5)
        assert store.claim(job.proof, Claim(job.claim_id, NODE, "47.0.0")).granted
        self.held[name] = (job, Held(payload, envelope, job.claim_id, NODE, "47.0.0"))
        return job

    def report(self, job: Job, state: RunState, message: str, reason: str = "") -> None:
        self.clock.forward(1)
        self.store.report(job.proof, Report(state, message, reason))

    def finish(self, job: Job, tests: Sequence[Event]) -> int:
        self.report(job, RunState.RUNNING, f"{len(tests)} tests")
        self.clock.forward(30)
        self.store.accept_result(job.proof, self.upload(stream(tests)))
        return job.submission.key.test_id

    def upload(self, data: bytes) -> Upload:
        path = self.folder / "upload"
        path.write_bytes(data)
        return Upload.of(path, {"cpid": "c0ffee", "duration_seconds": 30})

    def answers(self) -> dict[str, Any]:
        """Return what the API shows to the operator, by path."""
        runs = [run["test_id"] for run in self.get("/v1/runs", "operator")["runs"]]
        paths = [*PATHS, *(f"/v1/runs/{number}{part}" for number in sorted(runs) for part in OF_A_RUN)]
        return {path: self.get(path, "operator") for path in paths}

    def get(self, path: str, who: str) -> Any:
        app = create_app(self.store)
        answer = app.test_client().get(path, headers={"Authorization": f"Bearer {self.tokens[who]}"})
        return answer.get_json() if answer.status_code == 200 else answer.status_code


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as name, gearmand(Path(name)) as queue, postgresql(Path(name)) as cluster:
        work = Path(name)
        for private, public, kind in (("sign", "sign", "sign"), ("fleet", "fleet", "seal"), ("store", "store", "seal")):
            keys.generate_pair(kind, out / "keys" / f"{private}.key", out / "keys" / f"{public}.pub")
        lite = Maker(work, settings(work, out, queue.port, f"sqlite:///{work}/ledger.sqlite"))
        lite.fill()
        # where the queue's server is recorded, it has to be one that the test can use again
        client = QueueClient(lite.store.settings)
        assert client.submit_pending(lite.store, lite.to_queue) == 1
        client.close()
        full = Maker(work, settings(work, out, queue.port, cluster.new_database()))
        full.fill()
        answers = lite.answers()
        write(out / "answers.json", {"clock": lite.clock(), "answers": answers})
        # the run in gearmand's queue is there in one of them alone
        mine = {path: value for path, value in answers.items() if f"/{lite.to_queue}" not in path}
        theirs = full.answers()
        assert mine == {path: theirs[path] for path in mine}
        worker_state(lite, out / "state")
        write(out / "facts.json", facts(lite, full))
        envelope = sealed_job(queue)
        (out / "job.sealed").write_bytes(envelope)
        for made in (lite, full):
            made.store.close()
        keep_sqlite(work / "ledger.sqlite", out / "ledger.sqlite.gz")
        keep_postgresql(cluster, out / "ledger.sql.gz")
        queue.end()
        keep_sqlite(queue.database, out / "gearmand.sqlite.gz")
    write(out / "settings.json", read_settings(out))


def settings(work: Path, out: Path, port: int, url: str) -> ServerSettings:
    given = {"DATABASE_URL": url, "DATA_FOLDER": str(work), "KEY_FOLDER": str(out / "keys"), "APP_ADDRESS": ADDRESS}
    return from_mapping({**given, "GEARMAN_SERVER": "127.0.0.1", "GEARMAN_PORT": port})


def worker_state(made: Maker, folder: Path) -> None:
    """Write a spool with a result, a report and a release, and the note of an attempt that was cut off."""
    spool = Spool(folder / "spool", SpoolSettings())
    spool.prepare()
    held = {name: one for name, (_job, one) in made.held.items()}
    result = held["result in the spool"]
    with spool.writer(result) as writer:
        writer.write("subunit", stream(events(["identity-tokens-create"])))
        writer.write("summary.json", json.dumps({"cpid": "c0ffee", "duration_seconds": 30}).encode())
        writer.write("execute_test.log", b"posting: 503\n")
        writer.keep(Entry.of(result, RESULT, heartbeat_seconds=2.0))
    failed = {"status": "failed", "reason": "cloud", "message": "the cloud answered 401"}
    spool.add(held["report in the spool"], Entry.of(held["report in the spool"], REPORT, **failed))
    released = held["release in the spool"]
    spool.add(released, Entry.of(released, RELEASE, message="node node-1 is being stopped"))
    notes = Notes(folder / "held")
    notes.prepare()
    notes.write(held["noted"])


def facts(lite: Maker, full: Maker) -> dict[str, Any]:
    runs = {name: job.submission.key.test_id for name, (job, _held) in lite.held.items()}
    return {
        "address": ADDRESS,
        "password": PASSWORD,
        "tokens": {"sqlite": lite.tokens, "postgresql": full.tokens},
        "runs": {**runs, "in the queue": lite.to_queue},
        "claims": {name: held.claim for name, (_job, held) in lite.held.items()},
        "conf_json": CONF,
        "kept_conf": lite.store.kept_conf(1),
    }


def sealed_job(queue: Gearmand) -> bytes:
    with closing(sqlite3.connect(queue.database)) as database:
        ((data,),) = database.execute("SELECT data FROM gearman_queue").fetchall()
    return bytes(data)


def read_settings(out: Path) -> dict[str, Any]:
    """Return what the old code reads in the two files: dotted name to value."""
    read = {"refstack.cfg": server_config.load(out / "refstack.cfg")}
    both = {**read, "worker.toml": worker_config.load(out / "worker.toml")}
    flat = {name: dict(flattened(dataclasses.asdict(value))) for name, value in both.items()}
    del flat["worker.toml"]["file"]
    return flat


def flattened(value: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and name != "config":
            yield from flattened(item, f"{before}{name}.")
        else:
            yield f"{before}{name}", [str(one) for one in item] if isinstance(item, tuple) else plain(item)


def plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, dict, type(None))) else str(value)


def keep_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    target.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))


def keep_postgresql(cluster: Cluster, target: Path) -> None:
    words = [cluster.programs / "pg_dump", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "refstack"]
    dump = subprocess.run([*words, "-O", "-x", "refstack_1"], check=True, capture_output=True, text=True).stdout
    # psql's guard against dumps of others; older ones do not know it
    text = re.sub(r"^\\(un)?restrict .*\n", "", dump, flags=re.MULTILINE)
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def gearmand(folder: Path) -> Iterator[Gearmand]:
    made = Gearmand(folder)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def postgresql(folder: Path) -> Iterator[Cluster]:
    programs = find_programs()
    assert programs is not None
    place = Path(tempfile.mkdtemp(prefix="takeover-"))
    shutil.chown(place, "postgres", "postgres")
    cluster = Cluster(programs, place, free_port())
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(place)


if __name__ == "__main__":
    target = Path(sys.argv[2]).absolute()
    os.chdir(sys.argv[1])
    main(target)
