"""The HTTP side under load: 4 processes, PostgreSQL, load from other processes.

``refstack-queue api`` answers, but where it is compared with a bare application: there gunicorn serves both; and for
the watchers, of whom one process takes more than the product lets it.

Heartbeats and status posts beside a bare Flask INSERT; lists over 100,000 runs; a result of 2,000 tests, and heartbeats
while ten such results are sent at once; 200 watchers.
"""

# ruff: noqa: E501, S310, S608 - the SQL reads better whole; every address is our own

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from refstack_worker.server.ledger.ledger import Ledger
from tests.bench._heartbeats import PROGRESS, heartbeat, held, load, p99
from tests.bench._measure import Result, report, say
from tests.bench._results import beside_results, large_result
from tests.bench._server import Server, cluster, gunicorn, own
from tests.support.ledgers import Job, make_settings
from tests.support.postgresql import Cluster

RUNS = 64
"""Claimed runs that send heartbeats."""
FIRST_PAGE = "/v1/runs?limit=50"
LIST_LIMIT = 50
"""Milliseconds for the first page of the list."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/run api", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--runs", type=int, default=100_000, help="in the list")
    asked = parser.parse_args(arguments)
    load_before = os.getloadavg()[0]
    with cluster() as database, tempfile.TemporaryDirectory() as folder:
        results = measure(database, Path(folder), asked)
    return report(results, load_before)


def measure(database: Cluster, folder: Path, asked: argparse.Namespace) -> list[Result]:
    url = database.new_database()
    settings = make_settings(folder, DATABASE_URL=url)
    ledger = Ledger(settings)
    ledger.upgrade()
    (folder / "refstack.cfg").write_text(
        f"DATABASE_URL = {url!r}\nDATA_FOLDER = {str(folder / 'data')!r}\nKEY_FOLDER = {str(folder / 'keys')!r}\n"
        "APP_ADDRESS = 'http://127.0.0.1:8000'\nRATE_LIMIT = 0\nEVENT_STREAMS = 220\n"
    )
    with ledger.database.writing() as connection:
        connection.execute(text("CREATE TABLE bare_beat (id serial PRIMARY KEY, at timestamptz, said text)"))
    token = ledger.tokens.add("bench", ["operator"])[1]
    jobs = [held(ledger) for _ in range(RUNS)]
    try:
        found = beats(folder, url, jobs, asked.seconds, ledger)
        with own(folder / "refstack.cfg") as server:
            found += large_result(ledger, server, token)
            found += beside_results(ledger, server, jobs, asked.seconds)
            fill(ledger, asked.runs)
            found += lists(server, token, asked.runs)
        with gunicorn(
            "refstack_worker.server.app:application()", {"REFSTACK_CFG": str(folder / "refstack.cfg")}, 220
        ) as wide:
            found += watchers(ledger, wide, jobs[0], token)
    finally:
        ledger.close()
    return found


def beats(folder: Path, url: str, jobs: list[Job], seconds: float, ledger: Ledger) -> list[Result]:
    requests: list[dict[str, Any]] = []
    for job in jobs:
        key, secret = job.submission.key, job.token
        requests += [heartbeat(job)] * 9
        said = {"payload": job.envelope.decode(), "test_id": key.test_id, "message": "goes on", "attempt": key.attempt}
        requests.append({"path": "/update-test-status/", "token": secret, "body": said})
    bare = [{"path": "/beat", "token": "x", "body": PROGRESS}]
    with gunicorn("tests.bench._bare:application()", {"BARE_DATABASE": url}) as server:
        say("the peer: a bare INSERT")
        peer = load(server.port, bare, seconds)
    said_before = count(ledger, "SELECT count(*) FROM test_status")
    config = {"REFSTACK_CFG": str(folder / "refstack.cfg")}
    with gunicorn("refstack_worker.server.app:application()", config) as server:
        say("heartbeats and status posts")
        ours = load(server.port, requests, seconds)
    said = count(ledger, "SELECT count(*) FROM test_status") - said_before
    say(f"status posts kept: {said}; answers that were not good: {ours['wrong']}")
    rate, peer_rate = ours["done"] / ours["seconds"], peer["done"] / peer["seconds"]
    return [
        AtLeast(
            "heartbeats and status posts",
            rate,
            peer_rate,
            "1/s",
            ours["done"],
            "bare Flask INSERT",
            peer["done"],
            500,
            0.5,
        ),
        Result("p99 of a heartbeat", p99(ours), None, "ms", ours["done"], limit=100),
        Result("lost heartbeats and status posts", ours["wrong"], None, "requests", ours["done"], limit=0),
    ]


class AtLeast(Result):
    """A result that is the better the larger it is."""

    @property
    def holds(self) -> bool:
        return self.ours >= (self.limit or 0) and (self.ratio or 0) >= (self.ratio_limit or 0)


def fill(ledger: Ledger, runs: int) -> None:
    """Record many finished runs, the last hundred with 2,000 tests each."""
    say(f"filling in {runs} runs")
    numbers = {"first": 10_000, "last": 10_000 + runs - 1}
    many = "FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n"
    now = ledger.clock()
    statements = (
        f"INSERT INTO test (id, finished) SELECT n, true {many}",
        "INSERT INTO queue_run (test_id, state, attempt, lost, released, tempest_version, openstack_release, plugins, concurrency,"
        " timeout, tag, priority, label, created_by, created_at, updated_at, queued_at, started_at, ended_at, cancel_asked_at,"
        " reason, message, worker, passed, failed, skipped, messages, revision)"
        " SELECT n, (ARRAY['finished','failed','cancelled'])[1 + n % 3], 1, 0, 0, '47.0.0', '', '{}', 0, 600, '', 0,"
        f" 'label ' || n, 'bench', {now}, {now}, {now}, {now}, {now}, 0, '', '', 'node-' || n % 50, 1990, 10, 0, 0, 1 {many}",
        "INSERT INTO queue_attempt (test_id, attempt, is_open, created_at, leased_until, priority, submitted_at, server, handle,"
        " function, worker, claimed_at, heartbeat_at, contested_at, ended_at, outcome, note, is_withdrawn)"
        f" SELECT n, 1, false, {now}, 0, 0, {now}, '', '', '', '', {now}, {now}, 0, {now}, 'finished', '', true {many}",
        "INSERT INTO queue_result (test_id, attempt, digest, size, accepted_at, passed, failed, skipped, seconds)"
        f" SELECT n, 1, 'x', 1, {now}, 1990, 10, 0, 99 FROM generate_series(CAST(:last AS int) - 99, CAST(:last AS int)) AS n",
        "INSERT INTO queue_result_test (test_id, position, name, uuid, status, seconds, started_at, reason)"
        " SELECT n, p, 'tempest.api.module_' || p % 40 || '.Test.test_' || p, '', CASE WHEN p % 200 = 0 THEN 'failed' ELSE"
        " 'passed' END, 1, 0, '' FROM generate_series(CAST(:last AS int) - 99, CAST(:last AS int)) AS n, generate_series(1, 2000) AS p",
        "ANALYZE",
    )  # fmt: skip
    with ledger.database.writing() as connection:
        for statement in statements:
            connection.execute(
                text(statement.replace("'label ' ||", "'label ' ||")), numbers if ":" in statement else {}
            )


def lists(server: Server, token: str, runs: int) -> list[Result]:
    last = 10_000 + runs - 1
    questions = {
        "page of the run list": FIRST_PAGE,
        "page in the middle": f"/v1/runs?limit=50&before={10_000 + runs // 2}",
        "filtered by state": "/v1/runs?limit=50&state=failed",
        "searched for": f"/v1/runs?limit=50&q=label%20{10_000 + runs // 3}",
        "a run's failed tests": f"/v1/runs/{last}/results?status=failed",
        "a run's tests searched": f"/v1/runs/{last}/results?q=module_17",
    }
    found = []
    for name, path in questions.items():
        server.get(path, token)
        times = sorted(server.get(path, token)[0] for _ in range(40))
        limit = LIST_LIMIT if path == FIRST_PAGE else 200
        found.append(Result(f"{name}: p95", 1000 * times[int(len(times) * 0.95)], None, "ms", len(times), limit=limit))
    return found


def watchers(ledger: Ledger, server: Server, job: Job, token: str, many: int = 200) -> list[Result]:
    """Open streams on one run each and count what the database is asked while nothing happens."""
    say(f"{many} watchers")
    script = (
        "import socket,sys,time\n"
        "port,path,token,many=int(sys.argv[1]),sys.argv[2],sys.argv[3],int(sys.argv[4])\n"
        "all=[]\n"
        "for n in range(many):\n"
        " s=socket.create_connection(('127.0.0.1',port)); s.sendall(f'GET {path} HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {token}\\r\\n\\r\\n'.encode()); all.append(s)\n"
        "got=0\n"
        "for s in all:\n"
        " s.settimeout(20); data=b''\n"
        " while b'event: run' not in data: data+=s.recv(65536)\n"
        " got+=1\n"
        "print(got,flush=True); sys.stdin.readline(); got=0\n"
        "for s in all:\n"
        " data=b''\n"
        " while b'news-of-the-bench' not in data: data+=s.recv(65536)\n"
        " got+=1\n"
        "print(got,flush=True)\n"
    )  # fmt: skip
    path = f"/v1/runs/{job.submission.key.test_id}/events"
    words = [sys.executable, "-c", script, str(server.port), path, token, str(many)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    open_streams = int(process.stdout.readline() or 0)
    # what opening the streams has asked is counted late
    time.sleep(12)
    before, began = transactions(ledger), time.monotonic()
    time.sleep(8)
    rate = (transactions(ledger) - before) / (time.monotonic() - began)
    ledger.runs.add_message(job.submission.key, "news-of-the-bench")
    began = time.monotonic()
    process.stdin.write("\n")
    process.stdin.flush()
    told = int(process.stdout.readline() or 0)
    took = time.monotonic() - began
    process.wait()
    return [
        AtLeast("watchers at once", open_streams, None, "streams", 1, limit=many),
        AtLeast("watchers that heard the news", told, None, "streams", 1, limit=many),
        Result("until all have heard it", took, None, "s", 1, limit=3),
        Result("transactions of the database, with all of them waiting", rate, None, "1/s", 1, limit=20),
    ]


def transactions(ledger: Ledger) -> int:
    # the statistics are written late: ask for them again, and let them settle
    time.sleep(1.1)
    return count(ledger, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def count(ledger: Ledger, question: str) -> int:
    with ledger.database.reading() as connection:
        return int(connection.execute(text(question)).scalar_one())
