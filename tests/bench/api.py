"""The HTTP side under load: gunicorn with 4 workers, PostgreSQL, load from other processes.

Heartbeats and status posts beside a bare Flask INSERT; lists over 100,000 runs; a result of 2,000 tests, and heartbeats
while ten such results are sent at once; 200 watchers.
"""

# ruff: noqa: E501, S310, S608 - the SQL reads better whole; every address is our own

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from sqlalchemy import text

from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from tests.bench._measure import Result, report, say
from tests.bench._server import Server, cluster, gunicorn
from tests.support.ledgers import Event, Job, make_settings, stream, submit
from tests.support.postgresql import Cluster

RUNS = 64
"""Claimed runs that send heartbeats."""
PROGRESS = {"total": 100, "done": 7, "passed": 7, "failed": 0, "skipped": 0, "seconds_left": 9.0, "test": "t"}
FIRST_PAGE = "/v1/runs?limit=50"
LIST_LIMIT = 50
"""Milliseconds for the first page of the list."""
RESULTS_AT_ONCE = 10
PAUSE = 0.1
"""Seconds between two heartbeats of a thread beside these results: 16 threads are as many as 320 runs, every two seconds."""
BUSY = (429, 503)
"""Answers after which a node sends its result again."""


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
        with gunicorn(
            "refstack_worker.server.app:application()", {"REFSTACK_CFG": str(folder / "refstack.cfg")}
        ) as server:
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


def held(ledger: Ledger) -> Job:
    job = submit(ledger, ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), label="bench")).test_id)
    ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
    return job


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


def heartbeat(job: Job) -> dict[str, Any]:
    """Return the request."""
    key = job.submission.key
    body = {"claim": job.claim_id, "worker": "node", "state": "running", "progress": PROGRESS}
    path = f"/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/heartbeat"
    return {"path": path, "token": job.token, "body": body}


def p99(told: dict[str, Any]) -> float:
    """Return the milliseconds within which 99 of 100 answers came."""
    return 1000 * float(sorted(told["times"])[int(len(told["times"]) * 0.99)])


def load(port: int, requests: list[dict[str, Any]], seconds: float, pause: float = 0.0) -> dict[str, Any]:
    """Let two processes of eight threads ask; one that only warms up goes first."""
    words = [sys.executable, str(Path(__file__).with_name("_load.py")), str(port)]
    subprocess.run([*words, "1", "4", "0"], input=json.dumps(requests), text=True, capture_output=True, check=True)
    parts = [requests[0::2] or requests, requests[1::2] or requests]
    began = [
        subprocess.Popen(
            [*words, str(seconds), "8", str(pause)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in parts
    ]
    threads: list[threading.Thread] = []
    told: list[dict[str, Any]] = []
    for process, part in zip(began, parts):

        def ask(process: Any = process, part: Any = part) -> None:
            told.append(json.loads(process.communicate(json.dumps(part))[0]))

        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return {
        "done": sum(one["done"] for one in told),
        "wrong": sum(one["wrong"] for one in told),
        "seconds": max(one["seconds"] for one in told),
        "times": [moment for one in told for moment in one["times"]],
    }


def of_2000_tests() -> bytes:
    """Return a result."""
    return stream([Event(f"tempest.api.m{n % 40}.T.test_{n}", "success") for n in range(2000)], padding=5000)


def large_result(ledger: Ledger, server: Server, token: str, times: int = 5) -> list[Result]:
    data = of_2000_tests()
    say(f"a result of 2000 tests, {len(data) / 1e6:.1f} MB")
    jobs = [held(ledger) for _ in range(times)]
    before = server.memory()
    seconds = [post_and_show(server, job, data, token) for job in jobs]
    grown = (server.memory() - before) / 1024
    assert {len(ledger.results.tests(job.submission.key.test_id, _all())) for job in jobs} == {2000}
    took = statistics.median(seconds)
    return [
        Result("result of 2,000 tests: accepted, parsed and shown", took, None, "s", times, limit=1),
        Result("memory that it takes", grown, None, "MiB", times, limit=40),
    ]


def beside_results(ledger: Ledger, server: Server, beating: list[Job], seconds: float) -> list[Result]:
    """Send heartbeats while always ten large results are on their way."""
    data = of_2000_tests()
    waiting = [held(ledger) for _ in range(int(RESULTS_AT_ONCE * max(seconds, 1)))]
    accepted: list[Job] = []
    is_over = threading.Event()

    def send() -> None:
        while waiting and not is_over.is_set():
            job = waiting.pop()
            while (status := post(server, job, data)) in BUSY and not is_over.wait(1.0):
                pass
            assert status < 300 or is_over.is_set(), status
            accepted.append(job)

    say(f"heartbeats beside {RESULTS_AT_ONCE} such results at once")
    threads = [threading.Thread(target=send) for _ in range(RESULTS_AT_ONCE)]
    for thread in threads:
        thread.start()
    told = load(server.port, [heartbeat(job) for job in beating], seconds, PAUSE)
    assert any(thread.is_alive() for thread in threads), "the results were accepted before the heartbeats ended"
    is_over.set()
    for thread in threads:
        thread.join()
    say(f"{told['done']} heartbeats, {len(accepted)} results")
    return [
        Result("p99 of a heartbeat beside ten large results at once", p99(told), None, "ms", told["done"], limit=100),
        Result("lost heartbeats beside them", told["wrong"], None, "requests", told["done"], limit=0),
    ]


def _all() -> Any:
    from refstack_worker.server.domain.results import ResultQuery

    return ResultQuery(limit=3000)


def post_and_show(server: Server, job: Job, data: bytes, token: str) -> float:
    began = time.perf_counter()
    status = post(server, job, data)
    assert status < 300, status
    server.get(f"/v1/runs/{job.submission.key.test_id}/results?limit=2000", token)
    return time.perf_counter() - began


def post(server: Server, job: Job, data: bytes) -> int:
    """Send the result of a run and return the status of the answer."""
    key = job.submission.key
    mark = b"--b0undary"
    body = (
        mark
        + b'\r\nContent-Disposition: form-data; name="file"; filename="subunit"\r\n\r\n'
        + data
        + b"\r\n"
        + mark
        + b"--\r\n"
    )
    asked = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/post-result?test_id={key.test_id}&attempt={key.attempt}", body,
        {"Authorization": f"Bearer {job.token}", "Content-Type": "multipart/form-data; boundary=b0undary"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


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
