"""How fast runs reach the workers: real API (gunicorn), monitor, gearmand (libsqlite3), PostgreSQL and workers.

``claim``: from the trigger (HTTP) to the worker's claim in the ledger, on an idle fleet. ``dispatch``: runs that are
recorded, sealed, queued, taken, opened, claimed and ended by 4 worker processes without a run. ``no-op run``: the same
with 4 ``refstack-worker run``, each of which makes an environment and starts a program that ends at once. The peer is
gear's client with 4 gear workers, TCP_NODELAY set, background jobs on the same gearmand. So are Celery and
Procrastinate (``_peers.py``), on the same PostgreSQL; and a *floor*: three committed statements and a job of gearmand
for each run, and nothing else, once directly and once over an HTTP API without a framework.
"""

# ruff: noqa: S603, S608 - programs and numbers are our own

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gear
import sqlalchemy

from refstack_worker import gearman
from refstack_worker.contract import gearman_functions
from tests.bench import _peers
from tests.bench._measure import Result, report, say
from tests.bench._server import cluster, gunicorn
from tests.bench._watch import cpu_of_all, tree
from tests.support.postgresql import Cluster
from tests.support.processes import Site, eventually, site
from tests.support.wheel_files import make_version

TOP = Path(__file__).resolve().parents[2]
VERSION = "47.0.0"
WARM = 60
"""Runs before those that are measured: what every process does once."""
CONF = {"identity": {"uri_v3": "http://127.0.0.1:9/v3"}}
WORKERS = 4
DISPATCH = "dispatch, 4 workers"
PART = "of a dispatch, "
PEERS: tuple[tuple[str, _peers.Measure, float | None], ...] = (
    ("Celery (Redis, PostgreSQL)", _peers.celery, 1.0),
    ("Procrastinate (PostgreSQL)", _peers.procrastinate, 1.5),
)
"""Name, how it is measured, and how much dearer ours may be. These are the durable queues that users would take."""
NOTHING = """#!/bin/sh
echo '{"event": "end", "exit_code": 2, "reason": "bad-input", "message": "nothing to do"}'
exit 2
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/run dispatch", description=__doc__)
    parser.add_argument("--claims", type=int, default=100, help="triggers one after the other, on an idle fleet")
    parser.add_argument("--runs", type=int, default=400, help="no-op runs at once (default: 400)")
    parser.add_argument(
        "--processes", type=int, default=4, help="of the API, with gunicorn (default: 4); 0: refstack-queue api"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out Celery and Procrastinate")
    asked = parser.parse_args(arguments)
    load_before = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="refstack-bench-"))
    folder.chmod(0o700)
    try:
        with cluster() as database, site("production", folder / "site", database.new_database()) as place:
            with served(place, asked.processes) as api:
                bench = Bench(place, asked.claims, asked.runs)
                bench.processes |= {"api": lambda: tree(api), "postgresql": lambda: tree(database.pid)}
                found = bench.results()
            if not asked.no_peers:
                assert place.gearmand is not None
                queue = (place.gearmand.port, place.gearmand.program.pid)
                floors = [
                    (f"floor{' over HTTP' if processes else ''}", _peers.floor(queue, processes), None)
                    for processes in (0, asked.processes or 1)
                ]
                found += against_peers([*PEERS, *floors], found, database, folder, asked.runs)
            return report(found, load_before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def served(place: Site, processes: int) -> Iterator[int]:
    """Have the API answered by so many processes, as a fleet's server would; 0: by the one that it began with.

    Gives the process id of it, or of all their parent.
    """
    if not processes:
        yield place.services[0].pid
        return
    place.services[0].end()
    port = int(place.url.rpartition(":")[2])
    config = {"REFSTACK_CFG": str(place.config)}
    with gunicorn("refstack_worker.server.app:application()", config, port=port, workers=processes) as server:
        yield server.pid


def against_peers(
    peers: Iterable[tuple[str, _peers.Measure, float | None]],
    found: list[Result],
    database: Cluster,
    folder: Path,
    jobs: int,
) -> list[Result]:
    """Return our dispatch beside each peer, in time and in CPU of all processes."""
    ours = {one.name: one.ours for one in found}
    cpu = sum(value for name, value in ours.items() if name.startswith(PART))
    compared = []
    for name, measure, limit in peers:
        place = folder / name.lower().replace(" ", "-")
        place.mkdir()
        url = database.new_database()
        peer = measure(url, database.pid, place, jobs, WORKERS)
        say(f"{name}: {peer.seconds * 1000:.2f} ms a job, {peer.cpu * 1000:.2f} ms of a core")
        both = (ours[DISPATCH], peer.seconds * 1000, "ms a run"), (cpu, peer.cpu * 1000, "ms of a core a run")
        for what, (mine, theirs, unit) in zip((DISPATCH, "CPU of a dispatch"), both):
            compared.append(Result(f"{what}, {name}", mine, theirs, unit, jobs, name, jobs, ratio_limit=limit))
    return compared


class Bench:
    """The measurements, one after the other in one set-up."""

    def __init__(self, place: Site, claims: int, runs: int) -> None:
        self.place = place
        self.claims = claims
        self.runs = runs
        locks = place.folder / "locks"
        make_version(locks, VERSION)
        place.locks = [locks]
        self._nothing = place.folder / "nothing"
        self._nothing.write_text(NOTHING)
        self._nothing.chmod(0o755)
        url = place.database_url.replace("postgresql://", "postgresql+psycopg2://")
        self._engine = sqlalchemy.create_engine(url)
        self.processes: dict[str, Callable[[], Iterable[int]]] = {
            "monitor": lambda: [place.services[1].pid],
            "gearmand": lambda: [place.gearmand.program.pid] if place.gearmand else [],
            "workers": lambda: self._started,
            "client (this process)": lambda: [os.getpid()],
        }
        """Which processes are counted as one."""
        self._started: list[int] = []

    def results(self) -> list[Result]:
        """Measure all."""
        peer = [self._bare()]
        found = []
        with self._fleet(1):
            found += self._claims()
        with self._claimers(["{config}", gearman_functions.for_version(VERSION)]) as wait:
            self._noop(wait, WARM)
            before = self._spent()
            ours = self._noop(wait, self.runs)
            spent = {name: seconds - before[name] for name, seconds in self._spent().items()}
        # before and after: a machine is not the same all the time
        bare = statistics.mean([*peer, self._bare()])
        found.append(self._against(DISPATCH, ours, bare, 2.0))
        found += [
            Result(f"{PART}{name}", seconds / self.runs * 1000, None, "ms of a core a run", self.runs)
            for name, seconds in spent.items()
        ]
        with self._fleet(WORKERS):
            found.append(self._against("no-op run, 4 workers", self._noop(None, self.runs), bare, None))
        return found

    def _against(self, name: str, ours: float, peer: float, limit: float | None) -> Result:
        return Result(
            name, ours * 1000, peer * 1000, "ms a run", self.runs, "gear client and 4 gear workers", self.runs,
            ratio_limit=limit,
        )  # fmt: skip

    def _spent(self) -> dict[str, float]:
        """Return the CPU seconds of each part so far."""
        return {name: cpu_of_all(pids()) for name, pids in self.processes.items()}

    # --- trigger to claim

    def _claims(self) -> list[Result]:
        times = []
        for number in range(self.claims + 3):
            began = time.time()
            test_id = self.place.create(CONF, tempest_version=VERSION)
            row = self._ended([test_id])[0]
            if number >= 3:  # the first ones open connections and prove the version
                times.append((row["claimed_at"] - began) * 1000)
        ordered = sorted(times)
        return [
            Result("trigger to claim, p50", statistics.median(times), None, "ms", len(times), limit=50.0),
            Result("trigger to claim, p99", ordered[int(len(ordered) * 0.99) - 1], None, "ms", len(times), limit=250.0),
        ]

    # --- throughput

    def _noop(self, wait: Callable[[int], None] | None, runs: int) -> float:
        """Return seconds a run; says where they went."""
        began = time.time()
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: self.place.create(CONF, tempest_version=VERSION), range(runs)))
        triggered = time.time() - began
        if wait is not None:
            wait(len(made))
        rows = self._ended(made)
        took = max(row["ended_at"] for row in rows) - began
        steps = {
            "created to submitted": [row["submitted_at"] - row["created_at"] for row in rows],
            "submitted to claimed": [row["claimed_at"] - row["submitted_at"] for row in rows],
            "claimed to ended": [row["ended_at"] - row["claimed_at"] for row in rows],
        }
        told = {name: f"{statistics.median(values) * 1000:.0f} ms" for name, values in steps.items()}
        told |= {"all triggered after": f"{triggered:.1f} s", "all ended after": f"{took:.1f} s"}
        say(f"where the time of {len(rows)} no-op runs went (medians): {json.dumps(told)}")
        return took / len(rows)

    def _bare(self) -> float:
        function = "bare"
        client = gearman.Client("bare")
        gearman.add_servers(client, [gearman.Address("127.0.0.1", self.place.queue_port)])
        client.waitForServer()
        with self._claimers(["--bare", f"127.0.0.1:{self.place.queue_port}", function]) as wait:
            began = time.perf_counter()
            for number in range(self.runs):
                job = gear.Job(function.encode(), b"x" * 1000, f"b{number}".encode())
                client.submitJob(job, background=True, timeout=30)
            wait(self.runs)
            took = time.perf_counter() - began
        client.shutdown()
        return took / self.runs

    # --- processes

    @contextmanager
    def _claimers(self, words: list[str]) -> Iterator[Callable[[int], None]]:
        """4 processes of ``_claimer.py``; gives a function that waits for so many runs."""
        config = str(self._config("claimers"))
        argv = [sys.executable, str(Path(__file__).with_name("_claimer.py")), *(w.format(config=config) for w in words)]
        env = {**os.environ, "PYTHONPATH": str(TOP)}
        ready, done = threading.Semaphore(0), threading.Semaphore(0)

        def listen(stream: Any) -> None:
            for line in stream:
                (ready if line == "ready\n" else done).release()

        started = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
        try:
            self._started = [process.pid for process in started]
            for process in started:
                threading.Thread(target=listen, args=(process.stdout,), daemon=True).start()
            for _ in started:
                assert ready.acquire(timeout=60)
            yield lambda count: wait_for(done, count)
        finally:
            self._started = []
            for process in started:
                process.kill()
                process.wait()

    @contextmanager
    def _fleet(self, count: int) -> Iterator[None]:
        """Real workers, whose program does nothing."""
        names = [f"node-{count}-{number}" for number in range(count)]
        for name in names:
            self.place.start_worker(name, run={"execute_test": str(self._nothing)}, environments=self._environments)
        eventually("the workers are ready", lambda: {*names} <= self._nodes(), 120)
        try:
            yield
        finally:
            for name in names:
                self.place.workers.pop(name).end()

    def _nodes(self) -> set[str]:
        return {node["name"] for node in self.place.api.get("/v1/nodes")["nodes"]}

    @property
    def _environments(self) -> dict[str, Any]:
        return {"store": str(self.place.folder / "store"), "interpreters": [sys.executable]}

    def _config(self, name: str) -> Path:
        """Write a worker's settings, as :meth:`Site.start_worker` does, and start nothing."""
        base = self.place.folder / name
        self.place.start_worker(name, environments=self._environments).kill()
        self.place.workers.pop(name)
        return base / "worker.toml"

    def _ended(self, ids: list[int]) -> list[dict[str, Any]]:
        numbers = ", ".join(map(str, ids))
        question = sqlalchemy.text(
            "SELECT r.created_at, r.ended_at, a.submitted_at, a.claimed_at FROM queue_run r JOIN queue_attempt a"
            f" ON a.test_id = r.test_id AND a.attempt = 1 WHERE r.ended_at > 0 AND r.test_id IN ({numbers})"
        )

        def asked() -> list[dict[str, Any]]:
            with self._engine.connect() as connection:
                rows = [dict(row) for row in connection.execute(question).mappings()]
            return rows if len(rows) == len(ids) else []

        return eventually(f"{len(ids)} runs end", asked, 600)


def wait_for(done: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        assert done.acquire(timeout=120), "a run did not end"
