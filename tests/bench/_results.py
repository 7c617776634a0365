"""Large results: one, and heartbeats while ten are sent at once."""

# ruff: noqa: S310 - every address is our own

from __future__ import annotations

import statistics
import threading
import time
import urllib.error
import urllib.request

from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.ledger.ledger import Ledger
from tests.bench._heartbeats import heartbeat, held, load, p99
from tests.bench._measure import Result, say
from tests.bench._server import Server
from tests.support.ledgers import Event, Job, stream

RESULTS_AT_ONCE = 10
PAUSE = 0.1
"""Seconds between two heartbeats of a thread beside these results; 16 threads are as many as 320 runs."""
BUSY = (429, 503)
"""Answers after which a node sends its result again."""


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
    assert {len(ledger.results.tests(job.submission.key.test_id, ResultQuery(limit=3000))) for job in jobs} == {2000}
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
    assert all(thread.is_alive() for thread in threads), "a sender ended before the heartbeats did: see above"
    is_over.set()
    for thread in threads:
        thread.join()
    say(f"{told['done']} heartbeats, {len(accepted)} results")
    return [
        Result("p99 of a heartbeat beside ten large results at once", p99(told), None, "ms", told["done"], limit=100),
        Result("lost heartbeats beside them", told["wrong"], None, "requests", told["done"], limit=0),
    ]


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
