"""Real processes for tests: gearmand, the server's services, workers; whatever is started here is ended here.

A :class:`Site` is one set-up of the whole: ``production`` is gearmand with its sqlite queue, PostgreSQL,
``refstack-queue api`` and ``monitor`` as processes of their own; ``embedded`` is ``refstack-queue standalone`` (SQLite,
gear's server). Workers are ``refstack-worker run`` in both.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from refstack_worker.cli.api_client import Access, Api

T = TypeVar("T")
TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE", Path.home() / ".cache" / "refstack-worker-tests"))
PATIENCE = 60.0
"""Seconds that a step may take on a busy machine before a test gives up on it."""


def eventually(what: str | Callable[[], str], question: Callable[[], T], patience: float = PATIENCE) -> T:
    """Ask until the answer is truthy and return it; fail with ``what`` when patience ends."""
    deadline = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"did not come about within {patience:g} s: {said}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether a program listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Program:
    """A program with its log, in a process group of its own."""

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(TOP), **(environment or {})},
                cwd=log.parent,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9 of this one process, as a crash would."""
        self.process.kill()
        self.process.wait()

    def end(self, patience: float = PATIENCE) -> int:
        """TERM, and KILL for the whole group if that is not enough; return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()


class Gearmand:
    """gearmand with its persistent queue; may be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("gearmand") or "/usr/sbin/gearmand"
        assert Path(program).exists(), "gearmand is not installed: apt-get install gearman-job-server"
        self.port = free_port()
        self._folder = folder
        database = folder / "gearmand.sqlite"
        self._words = [program, "-q", "libsqlite3", f"--libsqlite3-db={database}", "-L", "127.0.0.1"]
        self._words += ["-p", str(self.port), "-l", "stderr"]
        self.database = database
        self.start()

    def start(self) -> None:
        self.program = Program(self._words, self._folder / "gearmand.log")
        eventually("gearmand listens", lambda: answers(self.port))

    def kill(self) -> None:
        self.program.kill()

    def end(self) -> None:
        self.program.end()


@dataclass
class Answer:
    """What a command line did."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@dataclass
class Site:
    """One set-up; see the module."""

    folder: Path
    gearmand: Gearmand | None = None
    """None: the queue is embedded."""
    database_url: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """Lines of refstack.cfg beside the usual ones."""
    locks: Sequence[Path] = ()

    def __post_init__(self) -> None:
        self.programs: list[Program] = []
        self.services: list[Program] = []
        self.workers: dict[str, Program] = {}
        self.url = f"http://127.0.0.1:{free_port()}"
        self.queue_port = self.gearmand.port if self.gearmand else free_port()
        self.config = self.folder / "refstack.cfg"
        self.token = self.folder / "token"

    # --- the server's side

    def start(self) -> None:
        """Make the files, and start the services."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_config()
        if self.gearmand is None:
            self.start_services()
            return
        assert self.queue("keys", "generate", str(self.folder / "keys")).status == 0
        assert self.queue("db", "upgrade").status == 0
        token = self.queue("token", "create", "tests", "--scope", "operator", "-f", "json").json()["token"]
        self.token.touch(mode=0o600)
        self.token.write_text(token)
        self.start_services()

    def start_services(self) -> None:
        """Start ``api`` and ``monitor``, or ``standalone``; returns when HTTP answers."""
        if self.gearmand is None:
            words = ("standalone", "--folder", str(self.folder), "--no-worker")
            self.services = [self._program("standalone", *words)]
        else:
            listen = self.url.removeprefix("http://")
            self.services = [self._program("api", "api", "--listen", listen), self._program("monitor", "monitor")]
        port = int(self.url.rpartition(":")[2])

        def is_up() -> bool:
            ended = [program.log.name for program in self.services if program.process.poll() is not None]
            assert not ended, f"ended: {ended}\n{self.logs()[-6000:]}"
            return answers(port) and self.token.exists()

        eventually(lambda: f"the server answers\n{self.logs()[-3000:]}", is_up)

    def end_services(self) -> None:
        for program in self.services:
            program.end()

    def queue(self, *words: str, **more: Any) -> Answer:
        """Run ``refstack-queue`` to its end."""
        command = [sys.executable, "-m", "refstack_worker.cli.queue.main", "--config", str(self.config)]
        command += ["--url", self.url, "--token-file", str(self.token), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOP)}, cwd=self.folder, **more
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def _write_config(self) -> None:
        usual: dict[str, Any] = {
            "TEST_METHOD": "gearman",
            "GEARMAN_SERVER": "127.0.0.1",
            "GEARMAN_PORT": self.queue_port,
            "APP_ADDRESS": self.url,
            "DATA_FOLDER": str(self.folder / "data"),
            "KEY_FOLDER": str(self.folder / "keys"),
            "HEARTBEAT_SECONDS": 1.0,
            "HEARTBEAT_LIMIT": 6.0,
            # the tests look more often than people do
            "RATE_LIMIT": 0,
            "SIGN_IN_LIMIT": 0,
        }
        if self.database_url:
            usual["DATABASE_URL"] = self.database_url
        lines = (f"{name} = {value!r}" for name, value in {**usual, **self.settings}.items())
        self.config.write_text(
            "\n".join(["# a setting of RefStack's own that is left alone:", "DEBUG = not_ours()", *lines, ""])
        )

    def _program(self, name: str, *words: str) -> Program:
        command = [sys.executable, "-m", "refstack_worker.cli.queue.main", "--config", str(self.config), *words]
        program = Program(command, self.folder / f"{name}.log")
        self.programs.append(program)
        return program

    # --- nodes

    def start_worker(self, name: str = "node-1", **more: Mapping[str, Any]) -> Program:
        """Start a worker with a folder of its own below the site's; ``more``: section → settings."""
        base = self.folder / name
        base.mkdir(mode=0o700, exist_ok=True)
        config = base / "worker.toml"
        config.write_text(_toml(self._worker_sections(base, name), more))
        words = [sys.executable, "-m", "refstack_worker.cli.worker.main", "--config", str(config), "run"]
        program = Program(words, base / "worker.log")
        self.programs.append(program)
        self.workers[name] = program
        return program

    def _worker_sections(self, base: Path, name: str) -> dict[str, dict[str, Any]]:
        keys = self.folder / "keys"
        return {
            "node": {"name": name, "state_folder": str(base / "state"), "runtime_folder": str(base / "run")},
            "gearman": {"servers": [f"127.0.0.1:{self.queue_port}"]},
            "server": {"urls": [self.url]},
            "keys": {"fleet_private": str(keys / "fleet.key"), "server_public": str(keys / "sign.pub")},
            "run": {"runner": "embedded", "folder": str(base / "runs"), "environments": str(base / "environments")},
            # the store is shared by the tests: filling it is not what they are about
            "environments": {"store": str(CACHE / "store"), "lock_folders": [str(lock) for lock in self.locks]},
            "limits": {"min_free_mb": 1},
        }

    # --- runs

    @functools.cached_property
    def api(self) -> Api:
        """The HTTP API in this process: a command for every look would take a second each."""
        return Api(Access(self.url, self.token.read_text().strip()))

    def create(self, conf: Mapping[str, Any], **spec: Any) -> int:
        """Trigger a run; ``spec`` as the API has it."""
        return int(self.api.post("/v1/runs", {"conf_json": conf, **spec}, key=uuid.uuid4().hex)["test_id"])

    def show(self, test_id: int) -> dict[str, Any]:
        """Return a run with its messages and attempts.

        The run is asked for first: what is read after an end shows all that was written with it.
        """
        path = f"/v1/runs/{test_id}"
        run = self.api.get(path)
        told = {**self.api.get(f"{path}/messages"), "attempts": self.api.get(f"{path}/attempts")["attempts"]}
        return {**told, **run}

    def said(self, test_id: int) -> str:
        """Return the messages of a run, one a line."""
        return "\n".join(item["message"] for item in self.api.get(f"/v1/runs/{test_id}/messages")["messages"])

    def wait_for(self, test_id: int, *states: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until a run is in one of these states and return it."""

        def is_there() -> dict[str, Any] | None:
            run = self.show(test_id)
            if run["state"] in ("finished", "failed", "cancelled") and run["state"] not in states:
                raise AssertionError(f"run {test_id} ended {run['state']}: {run['message']}\n{self.logs()[-6000:]}")
            return run if run["state"] in states else None

        try:
            return eventually(f"run {test_id} {' or '.join(states)}", is_there, patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.show(test_id)}\n{self.logs()[-6000:]}") from None

    def logs(self) -> str:
        """Return everything that was logged."""
        return "\n".join(f"== {program.log}\n{program.text()}" for program in self.programs if program.log.exists())

    def end(self) -> None:
        """End everything that runs; workers first, so that they can hand back."""
        for program in [*self.workers.values(), *self.services]:
            program.end()


@contextlib.contextmanager
def site(kind: str, folder: Path, database_url: str, **more: Any) -> Iterator[Site]:
    """Give a running set-up of a kind: ``production`` or ``embedded``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    gearmand = Gearmand(folder) if kind == "production" else None
    made = Site(folder, gearmand, database_url if gearmand else "", **more)
    try:
        made.start()
        yield made
    finally:
        made.end()
        if gearmand is not None:
            gearmand.end()


def _toml(sections: Mapping[str, Mapping[str, Any]], more: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for section in {**sections, **more}:
        values = {**sections.get(section, {}), **more.get(section, {})}
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return "\n".join([*lines, ""])
