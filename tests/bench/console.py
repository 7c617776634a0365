"""The live console's load on the API: many runs whose requests are sent as they happen, beside their heartbeats.

First heartbeats alone, then with the console of a program of 58 tests for each run. Lines are read back through the
API: each is there once, in order, without the run's secrets; how long after its request a line can be read is measured
on some runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstack_worker.contract.console import BATCH_SECONDS, ConsoleLine, RequestLine, TestLine, line_to_json
from refstack_worker.contract.secrets import secret_values
from tests.bench._server import cluster
from tests.support import hostile
from tests.support.hostile import Site
from tests.support.ledgers import Job

TESTS = 58
"""As OpenStack Powered Storage of 2020.06 requires."""
REQUESTS = 8
"""Of a test, as Tempest's object storage tests send."""
BEAT_SECONDS = 2.0
"""Between two heartbeats of a run, as servers ask for by default."""
READ_RUNS = 5
"""Runs that a user watches."""
READ_SECONDS = 0.5
"""As often as the page asks while lines come."""


@dataclass
class Felt:
    """What nodes and watchers felt, and what the server's process used."""

    heartbeats: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    """Seconds from a request until its line could be read."""
    wrong: list[str] = field(default_factory=list)
    cpu: float = 0.0
    """Seconds of processor time."""
    seconds: float = 0.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/run console", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="that the tests of a run take")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    asked = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with ExitStack() as ends, tempfile.TemporaryDirectory() as folder:
        url = ends.enter_context(cluster()).new_database() if asked.database == "postgresql" else ""
        site = ends.enter_context(hostile.site(Path(folder), asked.runs, url))
        reader = site.ledger.tokens.add("reader", ["operator", "read"])[1]
        calm = _phase(
            site, [lambda stop, felt, job=job: _beats(site, job, felt, stop) for job in site.jobs], asked.seconds / 2
        )
        busy, sent = _console_phase(site, reader, asked.seconds)
        wrong = [fault for job in site.jobs for fault in _faults(site, reader, job, sent[job.submission.key.test_id])]
    told = {
        "name": f"console of {asked.runs} runs of {TESTS} tests, {asked.database}",
        "lines of a run": TESTS * (2 + REQUESTS),
        "seconds of a run": asked.seconds,
        "cores": os.cpu_count(),
        "load before": round(load, 2),
        "heartbeats alone": _figures(calm),
        "with the console": _figures(busy),
        "wrong": wrong[:10],
    }
    print(json.dumps(told, indent=1))
    return int(bool(wrong) or max(busy.delays, default=0.0) > 3.0)


Part = Callable[[threading.Event, Felt], None]


def _phase(site: Site, parts: list[Part], seconds: float) -> Felt:
    felt, stop = Felt(), threading.Event()
    threads = [threading.Thread(target=part, args=(stop, felt), daemon=True) for part in parts]
    began, cpu = time.monotonic(), _cpu(site.process.pid)
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(90)
    felt.cpu, felt.seconds = _cpu(site.process.pid) - cpu, time.monotonic() - began
    return felt


def _console_phase(site: Site, reader: str, seconds: float) -> tuple[Felt, dict[int, list[dict[str, Any]]]]:
    sent: dict[int, list[dict[str, Any]]] = {}
    parts: list[Part] = []
    for job in site.jobs:
        lines = sent.setdefault(job.submission.key.test_id, [])
        parts.append(lambda stop, felt, job=job: _beats(site, job, felt, stop))
        parts.append(lambda stop, felt, job=job, lines=lines: _tests(site, job, felt, lines, seconds))
    for job in site.jobs[:READ_RUNS]:
        parts.append(lambda stop, felt, job=job: _reads(site, reader, job, felt, stop))
    # the batches of the last tests are sent, and read, before the phase ends
    return _phase(site, parts, seconds + 3 * BATCH_SECONDS), sent


def _beats(site: Site, job: Job, felt: Felt, stop: threading.Event) -> None:
    key = job.submission.key
    path = f"/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/heartbeat"
    body = json.dumps({"claim": job.claim_id, "worker": "node", "progress": {"total": TESTS, "done": 3}}).encode()
    # not all at the same moment
    stop.wait(BEAT_SECONDS * (key.test_id % 20) / 20)
    while not stop.is_set():
        status, seconds = site.request("POST", path, job.token, body)
        felt.heartbeats.append(seconds)
        if status != 200:
            felt.wrong.append(f"heartbeat: {status}")
        stop.wait(BEAT_SECONDS)


def _tests(site: Site, job: Job, felt: Felt, sent: list[dict[str, Any]], seconds: float) -> None:
    """Send the lines of a run in batches while they happen, as a node does."""
    key = job.submission.key
    path = f"/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/console"
    secret = next(iter(sorted(secret_values(job.submission.conf_json))), "none")
    began = time.monotonic()
    due = began + BATCH_SECONDS * (key.test_id % 20) / 20
    number, total = 0, TESTS * (2 + REQUESTS)
    wall = time.time()
    lines = _lines(secret, (wall + seconds * index / total for index in itertools.count()))
    while number < total:
        time.sleep(max(0.0, due - time.monotonic()))
        due += BATCH_SECONDS
        count = min(total, int(total * (time.monotonic() - began) / seconds)) - number
        batch = [line_to_json(next(lines)) for _ in range(count)]
        body = json.dumps({"claim": job.claim_id, "first": number, "lines": batch, "dropped": 0}).encode()
        status, took = site.request("POST", path, job.token, body)
        felt.batches.append(took)
        if status != 200:
            felt.wrong.append(f"console: {status}")
        sent += batch
        number += count


def _lines(secret: str, moments: Iterator[float]) -> Iterator[ConsoleLine]:
    """Yield the lines of a run, each with the moment at which it happens."""
    for test in range(TESTS):
        name = f"tempest.api.object_storage.test_{test}.Test.test_{test}"
        yield TestLine(next(moments), name, "started")
        for request in range(REQUESTS):
            path = f"/v1/AUTH_x/container/{test}/{request}?password={secret}"
            about = ("object-store", f"tx{test:04}{request}", f"Test:test_{test}")
            yield RequestLine(next(moments), "PUT", path, 201, 12, *about)
        yield TestLine(next(moments), name, "passed", 1.0)


def _reads(site: Site, reader: str, job: Job, felt: Felt, stop: threading.Event) -> None:
    after = -1
    while not stop.is_set():
        for line in _page(site, reader, job, after):
            felt.delays.append(time.time() - line["time"])
            after = line["number"]
        stop.wait(READ_SECONDS)


def _page(site: Site, reader: str, job: Job, after: int) -> list[dict[str, Any]]:
    query = f"limit=2000{f'&after={after}' if after >= 0 else ''}"
    found = site.read(f"/v1/runs/{job.submission.key.test_id}/console?{query}", reader)
    lines: list[dict[str, Any]] = found["lines"]
    return lines


def _faults(site: Site, reader: str, job: Job, sent: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with the lines of a run as the API has them."""
    number = job.submission.key.test_id
    lines = _page(site, reader, job, -1)
    if [line["number"] for line in lines] != list(range(TESTS * (2 + REQUESTS))):
        yield f"run {number}: {len(lines)} lines, not each once and in order"
    what = ("event", "test", "request_id", "status")
    if [[line.get(name) for name in what] for line in lines] != [[line.get(name) for name in what] for line in sent]:
        yield f"run {number}: other lines than those that were sent"
    text = json.dumps(lines)
    yield from (f"run {number}: a secret" for secret in secret_values(job.submission.conf_json) if secret in text)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _figures(felt: Felt) -> dict[str, object]:
    figures: dict[str, object] = {
        "seconds": round(felt.seconds, 1),
        "server's processor time, percent of a core": round(100 * felt.cpu / felt.seconds, 1),
        "heartbeats": len(felt.heartbeats),
        **_times("heartbeat", felt.heartbeats),
        "wrong": felt.wrong[:10],
    }
    if felt.batches:
        figures.update({"batches": len(felt.batches), **_times("batch", felt.batches), **_times("line", felt.delays)})
    return figures


def _times(name: str, times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        f"{name} median s": round(statistics.median(ordered), 4),
        f"{name} p99 s": round(ordered[int(len(ordered) * 0.99)], 3),
        f"{name} max s": round(ordered[-1], 3),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
