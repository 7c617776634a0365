"""What users would take in place of this queue, for ``dispatch``: Celery and Procrastinate, 4 workers each, no-op jobs.

Both keep their word as this queue does: a job that was accepted ends even if its worker or the broker dies, and its end
is recorded in PostgreSQL, here in the same cluster (with fsync) as ours. Celery has a Redis broker that appends to a
file, and acknowledges late. They do less: no HTTP API, no signed and sealed payload, no claim.
"""

# ruff: noqa: S603 - programs are our own

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

from tests.bench._server import Server, gunicorn
from tests.bench._watch import cpu_of_all, tree
from tests.support.processes import answers, eventually, free_port

FOLDER = Path(__file__).resolve().parent
PACKAGES = ["celery[sqlalchemy]", "redis", "psycopg2-binary", "procrastinate", "psycopg[binary]"]


@dataclass(frozen=True)
class Measured:
    """What a job cost."""

    seconds: float
    """From trigger to recorded end, of many at once."""
    cpu: float
    """Seconds of a core, of all processes together."""


Measure = Callable[[str, int, Path, int, int], Measured]
"""Measures a peer, given a database, PostgreSQL's process, a folder, how many jobs, and how many workers."""


def celery(database: str, postgresql: int, folder: Path, jobs: int, workers: int) -> Measured:
    """Measure Celery with a Redis broker and results in PostgreSQL.

    :param postgresql: process id of the server.
    """
    with _redis(folder) as (broker, redis):
        environment = {"PEER_DATABASE": database, "PEER_BROKER": broker}
        words = ["-m", "celery", "-A", "_peer_celery", "worker", "-c", str(workers), "-P", "prefork", "-l", "ERROR"]
        with _started(words, environment, folder) as worker:
            return _measured(
                "_peer_celery", environment, jobs, lambda: [*tree(worker), *tree(redis), *tree(postgresql)]
            )


def procrastinate(database: str, postgresql: int, folder: Path, jobs: int, workers: int) -> Measured:
    """Measure Procrastinate, a process for each worker; see :func:`celery`."""
    environment = {"PEER_DATABASE": database}
    words = ["-m", "procrastinate", "--app", "_peer_procrastinate.app"]
    subprocess.run([python(), *words, "schema", "--apply"], env=_with(environment), cwd=FOLDER, check=True)
    started: list[int] = []
    with _several([*words, "worker", "--concurrency=1"], environment, folder, workers, started):
        return _measured(
            "_peer_procrastinate",
            environment,
            jobs,
            lambda: [pid for one in (*started, postgresql) for pid in tree(one)],
        )


def floor(queue: tuple[int, int], processes: int) -> Measure:
    """Return what measures the parts that a queue like this one cannot leave out; see ``_peer_floor.py``.

    :param queue: port and process id of gearmand.
    :param processes: of an API between client, workers and database; 0: there is none.
    """
    port, gearmand = queue
    function = f"floor{processes}"

    def measure(database: str, postgresql: int, folder: Path, jobs: int, workers: int) -> Measured:
        environment = {"PEER_DATABASE": database, "PEER_QUEUE": f"127.0.0.1:{port}", "PEER_FUNCTION": function}
        subprocess.run(
            [sys.executable, "-c", "import _peer_floor; _peer_floor.create()"], env=_with(environment), check=True
        )
        with _floor_api(environment, processes) as api, ExitStack() as stack:
            if api:
                environment["PEER_API"] = f"http://127.0.0.1:{api.port}"
            words = [sys.executable, str(FOLDER / "_peer_floor.py")]
            running = [_running(words, _with(environment), folder / "peer.log") for _ in range(workers)]
            pids = [stack.enter_context(one) for one in running]
            pids += [postgresql, gearmand, *([api.pid] if api else [])]
            return _measured(
                "_peer_floor", environment, jobs, lambda: [one for pid in pids for one in tree(pid)], sys.executable
            )

    return measure


@contextmanager
def _floor_api(environment: Mapping[str, str], processes: int) -> Iterator[Server | None]:
    if not processes:
        yield None
        return
    with gunicorn("tests.bench._peer_floor:application()", environment, workers=processes) as server:
        yield server


def python() -> str:
    """Return the interpreter of the virtualenv that has the peers; it is made when missing."""
    runner = SourceFileLoader("tests_run", str(FOLDER.parent / "run")).load_module()
    return str(runner.virtualenv("peers", runner.SYSTEM_PYTHON, PACKAGES))


def _measured(
    client: str, environment: dict[str, str], jobs: int, pids: Callable[[], Iterable[int]], interpreter: str = ""
) -> Measured:
    words = [interpreter or python(), str(FOLDER / "_peer_client.py"), client, str(jobs)]
    with subprocess.Popen(
        words, env=_with(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != "warm\n":
            raise SystemExit(f"{client} ended before it was warm: see above")
        before = cpu_of_all(pids())
        process.stdin.write("go\n")
        process.stdin.flush()
        line = process.stdout.readline()
        spent = cpu_of_all(pids()) - before
    if not line:
        raise SystemExit(f"{client} ended before its jobs: see above")
    found = json.loads(line)
    return Measured(found["seconds"] / jobs, (spent + found["cpu"]) / jobs)


@contextmanager
def _redis(folder: Path) -> Iterator[tuple[str, int]]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("Redis is not installed: apt-get install redis-server")
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(folder)]
    with _running([program, *words], dict(os.environ), folder / "redis.log") as process:
        eventually("Redis listens", lambda: answers(port))
        yield f"redis://127.0.0.1:{port}/0", process


@contextmanager
def _several(
    words: list[str], environment: dict[str, str], folder: Path, count: int, started: list[int]
) -> Iterator[None]:
    if count == 0:
        yield
        return
    with _started(words, environment, folder) as pid:
        started.append(pid)
        with _several(words, environment, folder, count - 1, started):
            yield


@contextmanager
def _started(words: list[str], environment: dict[str, str], folder: Path) -> Iterator[int]:
    with _running([python(), *words], _with(environment), folder / "peer.log") as pid:
        yield pid


@contextmanager
def _running(words: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    with open(log, "ab") as out:
        process = subprocess.Popen(words, env=environment, cwd=FOLDER, stdout=out, stderr=out)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _with(environment: dict[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        **environment,
        "PYTHONPATH": f"{FOLDER}{os.pathsep}{FOLDER.parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
