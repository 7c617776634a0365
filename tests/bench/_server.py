"""The API in its own server or in gunicorn, and a PostgreSQL of its own, for the benchmarks."""

# ruff: noqa: S310 - every address is our own

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgresql import Cluster, _free_port, find_programs

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """A server of several processes."""

    port: int
    pid: int

    def get(self, path: str, token: str) -> tuple[float, int]:
        """Return seconds and bytes of an answer."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        began = time.perf_counter()
        with urllib.request.urlopen(asked, timeout=60) as answer:
            size = len(answer.read())
        return time.perf_counter() - began, size

    def memory(self) -> int:
        """Return the largest resident size that one of its processes ever had, in KiB."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        status = [Path(f"/proc/{child}/status").read_text() for child in children]
        return max(int(one.partition("VmHWM:")[2].split()[0]) for one in status)


@contextmanager
def gunicorn(
    application: str, environment: dict[str, str], threads: int = 8, port: int = 0, workers: int = 4
) -> Iterator[Server]:
    """Serve a WSGI application; by default on a free port."""
    port = port or _free_port()
    words = [sys.executable, "-m", "gunicorn", "--workers", str(workers), "--worker-class", "gthread"]
    words += ["--threads", str(threads)]
    words += ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", "--keep-alive", "30", application]
    with _serving(words, environment, port, workers) as server:
        yield server


@contextmanager
def own(config: Path, workers: int = 4) -> Iterator[Server]:
    """Serve the API as its unit does, on a free port."""
    port = _free_port()
    words = [sys.executable, "-m", "refstack_worker.cli.queue.main", "--config", str(config), "api"]
    words += ["--listen", f"127.0.0.1:{port}", "--processes", str(workers)]
    with _serving(words, {}, port, workers) as server:
        yield server


@contextmanager
def _serving(words: list[str], environment: dict[str, str], port: int, workers: int) -> Iterator[Server]:
    """Give a server once it answers, and end it."""
    env = {**os.environ, **environment, "PYTHONPATH": str(TOP)}
    process = subprocess.Popen(words, env=env, cwd=TOP, stdout=sys.stderr)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with status {process.returncode}: see above")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing", timeout=5)
            except urllib.error.HTTPError:
                if len(children.read_text().split()) >= workers:
                    break
            except OSError:
                time.sleep(0.1)
        yield Server(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def cluster() -> Iterator[Cluster]:
    programs = find_programs()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="refstack-bench-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    made = Cluster(programs, folder, _free_port(), is_durable=True)
    try:
        made.create()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
