"""A node for the tests: gearmand, a stand-in for the server, real environments of small wheels, the real daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gear
import pytest

from refstack_worker import gearman
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import gearman_functions, keys, payload
from refstack_worker.worker import control_socket
from refstack_worker.worker.sandbox import leftovers
from tests.support import execute_test_standin
from tests.support.process_table import below
from tests.support.processes import Gearmand, Program, _toml, eventually
from tests.support.standin_server import Attempt, StandIn, serving
from tests.support.wheel_files import make_version

PASSWORD = "correct-horse-battery-staple"
VERSION = "47.0.0"
STANDIN = Path(execute_test_standin.__file__)


@dataclass
class Node:
    """A worker with everything that it needs, below one folder."""

    folder: Path
    server: StandIn
    port: int
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys.generate_pair("sign", self.folder / "sign.key", self.folder / "sign.pub")
        keys.generate_pair("seal", self.folder / "fleet.key", self.folder / "fleet.pub")
        make_version(self.folder / "locks", VERSION, refstack='openstack-releases = ["2026.1"]')
        self.client = gearman.Client("test")
        gearman.add_servers(self.client, [gearman.Address("127.0.0.1", self.port)])
        self.client.waitForServer()

    @property
    def sealer(self) -> sealing.Sealer:
        return sealing.Sealer(
            keys.load_sign_private(self.folder / "sign.key"), keys.load_seal_public(self.folder / "fleet.pub")
        )

    @property
    def config(self) -> Path:
        return self.folder / "worker.toml"

    @property
    def mark(self) -> Path:
        return self.folder / "pids"

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self.mark.read_text().split()] if self.mark.exists() else []

    def configure(self, **more: dict[str, Any]) -> None:
        """Write the settings; ``more``: section → settings."""
        base = self.folder / "node"
        usual: dict[str, dict[str, Any]] = {
            "node": {"name": "node-1", "state_folder": str(base / "state"), "runtime_folder": str(base / "run")},
            "gearman": {"servers": [f"127.0.0.1:{self.port}"]},
            "server": {"urls": [self.server.url], "timeout": 5.0, "patience": 8.0},
            "keys": {
                "fleet_private": str(self.folder / "fleet.key"),
                "server_public": str(self.folder / "sign.pub"),
            },
            "run": {
                "runner": "embedded",
                "folder": str(base / "runs"),
                "environments": str(base / "environments"),
                "execute_test": str(STANDIN),
            },
            "environments": {
                "store": str(self.folder / "store"),
                "lock_folders": [str(self.folder / "locks")],
                "interpreters": [sys.executable],
            },
            "spool": {"first_retry": 0.3, "last_retry": 1.0},
            "limits": {"min_free_mb": 1},
            "log": {"level": "debug"},
        }
        self.config.write_text(_toml(usual, more))

    def start(self, **more: dict[str, Any]) -> Program:
        """Start the daemon and wait until it is registered."""
        self.configure(**more)
        words = [sys.executable, "-m", "refstack_worker.cli.worker.main", "--config", str(self.config), "run"]
        program = Program(words, self.folder / f"worker-{len(self.programs)}.log")
        self.programs.append(program)
        eventually("the worker answers", lambda: program.process.poll() is not None or self.socket.exists(), 30)
        return program

    @property
    def socket(self) -> Path:
        return self.folder / "node" / "run" / "control.sock"

    def ask(self, command: str = "status") -> dict[str, Any]:
        return control_socket.ask(self.socket, command)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``refstack-worker`` to its end."""
        argv = [sys.executable, "-m", "refstack_worker.cli.worker.main", "--config", str(self.config), *words]
        return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})

    def payload(self, test_id: int, attempt: int, mode: str, **more: Any) -> payload.Payload:
        return payload.Payload(
            **{
                "test_id": test_id,
                "attempt": attempt,
                "callback": self.server.url,
                "conf_json": {
                    "standin": {"mode": mode, "mark": str(self.mark)},
                    "identity": {"admin_password": PASSWORD},
                },
                "secret": payload.new_secret(),
                "submitted_at": payload.now(),
                "tempest_version": VERSION,
                "timeout": 600,
                **more,
            }
        )

    def submit(self, test_id: int, mode: str, attempt: int = 1, function: str = "", **more: Any) -> Attempt:
        """Give a run to the queue, and let the server know it."""
        made = self.payload(test_id, attempt, mode, **more)
        known = self.server.expect(test_id, attempt, made.secret)
        envelope = self.sealer.seal(made)
        self.submit_bytes(function or gearman_functions.for_version(made.tempest_version or VERSION), made, envelope)
        return known

    def submit_bytes(self, function: str, made: payload.Payload, envelope: bytes) -> None:
        job = gear.Job(function.encode(), envelope, gearman_functions.unique(made.test_id, made.attempt).encode())
        self.client.submitJob(job, background=True, timeout=10)

    def queue_status(self) -> dict[str, tuple[int, int, int]]:
        """Return function → queued, running, workers: what gearmand says."""
        request = gear.StatusAdminRequest()
        self.client.getConnection().sendAdminRequest(request, timeout=10)
        rows = [line.split(b"\t") for line in request.response.splitlines() if line != b"."]
        return {row[0].decode(): (int(row[1]), int(row[2]), int(row[3])) for row in rows}

    def is_clean(self) -> bool:
        """Return whether nothing of any run is left on the node: no process, no folder, no note."""
        base = self.folder / "node"
        folders = [path for name in ("runs", "environments") for path in (base / name).glob("*")]
        notes = list((base / "state" / "held").glob("*"))
        mark = f"{leftovers.instance_of(base / 'state')}/"
        return not folders and not notes and not list(leftovers.marked(mark))

    def log(self) -> str:
        return "\n".join(program.text() for program in self.programs)

    def end(self) -> None:
        for program in self.programs:
            left = below(program.pid)
            program.end()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.client.shutdown()


@pytest.fixture(scope="module")
def gearmand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gearmand]:
    made = Gearmand(tmp_path_factory.mktemp("gearmand"))
    yield made
    made.end()


@pytest.fixture
def server() -> Iterator[StandIn]:
    with serving() as standin:
        yield standin


@pytest.fixture
def node(tmp_path: Path, gearmand: Gearmand, server: StandIn, request: pytest.FixtureRequest) -> Iterator[Node]:
    made = Node(tmp_path, server, gearmand.port)
    yield made
    made.end()
    if os.environ.get("REFSTACK_TEST_SHOW"):
        print(json.dumps(server.calls), made.log())
