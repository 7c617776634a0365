"""Everything of one installation: PostgreSQL, gearmand, API, monitor, nodes and a real cloud, each a real process."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy

from tests.integration.conftest import TEMPEST, Cloud
from tests.support.postgresql import Cluster, find_programs
from tests.support.processes import CACHE, Program, Site, answers, eventually, free_port
from tests.system.faults.gates import ApiGate
from tests.system.faults.node import Node, address, mount, unmount

FACTOR = 15
"""All the limits below are the product's defaults divided by this, except where noted."""
HEARTBEAT_LIMIT = 60 / FACTOR
SILENCE = 2.5 * HEARTBEAT_LIMIT
"""Seconds of a fault that is longer than the heartbeat limit, and than the monitor's waiting for it after trouble."""
OUTAGE = 600 / FACTOR
"""Ten minutes."""
SETTINGS: Mapping[str, Any] = {
    "HEARTBEAT_SECONDS": 0.5,  # not 0.13: this machine is shared
    "HEARTBEAT_LIMIT": HEARTBEAT_LIMIT,
    "RUN_GRACE": 900 / FACTOR,
    "CANCEL_LIMIT": 10,  # not 4: the worker's grace between TERM and KILL stays as it is
    "RUN_TIMEOUT": 14400,
}
TESTS = [
    "tempest.api.identity.v3.test_tokens.TokensV3Test.test_validate_token",
    "tempest.api.identity.v3.test_tokens.TokensV3Test.test_create_token",
]
SERVER_DISK_MB = 64


class Queue:
    """gearmand, with either queue; may be killed, frozen, and started again on the same port."""

    def __init__(self, folder: Path, disk: Path, host: str) -> None:
        self.port = free_port()
        self.kind = "libsqlite3"
        self._folder = folder
        self._disk = disk
        self._host = host

    def start(self) -> None:
        program = shutil.which("gearmand") or "/usr/sbin/gearmand"
        words = [program, "-L", self._host, "-p", str(self.port), "-l", "stderr", "-q", self.kind]
        if self.kind == "libsqlite3":
            words.append(f"--libsqlite3-db={self._disk / 'gearmand.sqlite'}")
        self.program = Program(words, self._folder / "gearmand.log")
        eventually(lambda: f"gearmand listens: {self.program.text()[-500:]}", self._listens)

    def use(self, kind: str) -> None:
        """Go on with another kind of queue."""
        if kind != self.kind:
            self.program.end()
            self.kind = kind
            self.start()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self._host, self.port), 1):
            return True
        return False


class Place(Site):
    """The installation; the services are started and ended one by one."""

    def __init__(self, number: int, cloud: Cloud, nodes: int = 1, slots: int = 1) -> None:
        """Plan it.

        :param number: 0 to 7, another one for each installation of this process; ``number * nodes + nodes`` is 8 at
            most.
        :param slots: runs side by side on each node.
        """
        self.root = Path(tempfile.mkdtemp(prefix=f"refstack-faults-{number}-"))
        self.cloud = cloud
        ports = [int(url.rpartition(":")[2].partition("/")[0]) for url in (cloud.auth_url, cloud.swift_url)]
        self.host = address(number, 215, 1)
        """Where nodes find server and queue."""
        self.nodes = [Node(number * nodes + at, self.root / f"node-{at + 1}", ports) for at in range(nodes)]
        self._slots = slots
        self.monitors: list[Program] = []
        self.http: Program | None = None
        self.preload: dict[str, str] = {}
        """Environment of the services that are started from now on."""
        super().__init__(self.root / "server", settings=dict(SETTINGS), locks=[CACHE / "locks"])

    @property
    def node(self) -> Node:
        """The node, where there is only one; else the first."""
        return self.nodes[0]

    @property
    def disk(self) -> Path:
        """The server's disk: uploads on their way."""
        return self.folder / "data"

    @property
    def queue_disk(self) -> Path:
        """The disk of gearmand's queue."""
        return self.folder / "queue"

    def start(self) -> None:
        """Start everything but the workers."""
        subprocess.run(["ip", "addr", "add", f"{self.host}/32", "dev", "lo"], check=True)
        self.folder.mkdir(mode=0o700)
        for disk in (self.disk, self.queue_disk):
            disk.mkdir()
            mount(disk, SERVER_DISK_MB)
        for node in self.nodes:
            node.create()
        self.cluster = _cluster(self.root)
        self.database_url = self.cluster.new_database()
        self.queue_server = Queue(self.folder, self.queue_disk, self.host)
        self.queue_server.start()
        self.queue_port = self.queue_server.port
        self.gate = ApiGate(self.host, int(self.url.rpartition(":")[2]))
        self.settings.update(APP_ADDRESS=self.gate.url, GEARMAN_SERVER=self.host)
        self._write_config()
        for words in (("keys", "generate", str(self.folder / "keys")), ("db", "upgrade")):
            answer = self.queue(*words)
            assert answer.status == 0, answer
        made = self.queue("token", "create", "faults", "--scope", "operator", "-f", "json").json()
        self.token.touch(mode=0o600)
        self.token.write_text(made["token"])
        for number, node in enumerate(self.nodes, 1):
            node.configure(self._node_sections(node, f"node-{number}"))
        self.start_services()

    def start_services(self) -> None:
        self.start_api()
        self.start_monitor()

    def start_api(self) -> None:
        listen = self.url.removeprefix("http://")
        self.http = self._service("api", "api", "--listen", listen)
        eventually(lambda: f"the API answers\n{self.logs()[-3000:]}", lambda: answers(int(listen.rpartition(":")[2])))

    def start_monitor(self) -> None:
        self.monitors.append(self._service(f"monitor-{len(self.monitors)}", "monitor"))

    def kill_services(self) -> None:
        """kill -9 of API and monitors."""
        for program in [*self.monitors, *([self.http] if self.http else [])]:
            program.kill()
        self.monitors = []

    def _service(self, name: str, *words: str) -> Program:
        command = [sys.executable, "-m", "refstack_worker.cli.queue.main", "--config", str(self.config), *words]
        program = Program(command, self.folder / f"{name}.log", self.preload)
        self.programs.append(program)
        return program

    # --- the nodes

    def _node_sections(self, node: Node, name: str) -> dict[str, dict[str, Any]]:
        sections = self._worker_sections(node.folder, name)
        sections["node"]["slots"] = self._slots
        sections["gearman"]["servers"] = [f"{self.host}:{self.queue_port}"]
        # a call's 30 s over the factor would be 2 s, which is little on a busy machine
        sections["server"] = {"urls": [self.gate.url], "patience": 900.0 / FACTOR, "timeout": 5.0}
        sections["run"]["pre_run_hooks"] = str(node.folder / "pre-run.d")
        sections["run"]["cleanup_seconds"] = 60.0
        sections["spool"] = {"first_retry": 15.0 / FACTOR, "last_retry": 1800.0 / FACTOR}
        return sections

    def start_node(self, node: Node) -> None:
        """Start a node's worker and wait until it answers."""
        self.programs.append(node.start_worker())

    # --- runs

    def trigger(self, key: str = "") -> int:
        """Record a run of two tests.

        :param key: idempotency key; the same one again is the same run.
        """
        spec = {"tempest_version": TEMPEST, "testcases": {"names": TESTS}, "concurrency": 1, "timeout": 7200}
        wish = {"conf_json": copy.deepcopy(self.cloud.tempest_conf()), **spec}
        return int(self.api.post("/v1/runs", wish, key=key or uuid.uuid4().hex)["test_id"])

    @functools.cached_property
    def engine(self) -> Any:
        url = self.database_url.replace("postgresql://", "postgresql+psycopg2://")
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)

    def rows(self, question: str, **values: Any) -> list[dict[str, Any]]:
        """Ask the ledger itself."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sqlalchemy.text(question), values).mappings()]

    def state(self, test_id: int) -> dict[str, Any]:
        """The row of a run."""
        return self.rows("SELECT * FROM queue_run WHERE test_id = :id", id=test_id)[0]

    def in_cloud(self) -> set[str]:
        """Names of Keystone's users and projects: what runs make there."""
        session = self.cloud.session()
        found = {f"user {item['name']}" for item in session.keystone("GET", "/users")["users"]}
        return found | {f"project {item['name']}" for item in session.keystone("GET", "/projects")["projects"]}

    # --- in order again

    def release(self) -> None:
        """Open everything that holds a run at its step."""
        self.gate.release()
        for node in self.nodes:
            node.cloud_gate.release()
            node.hold.unlink(missing_ok=True)
            node.ask("resume")

    def end(self) -> None:
        """End everything and remove it."""
        with contextlib.suppress(AttributeError):
            self.gate.instead = None
            self.release()
        for node in self.nodes:
            node.end_worker()
        for program in [*self.monitors, *([self.http] if self.http else [])]:
            program.end()
        with contextlib.suppress(AttributeError):
            self.queue_server.program.process.kill()
            self.queue_server.program.end()
        with contextlib.suppress(AttributeError):
            self.cluster.stop()
        with contextlib.suppress(AttributeError):
            self.gate.close()
        for node in self.nodes:
            node.remove()
        subprocess.run(["ip", "addr", "del", f"{self.host}/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)
        for disk in (self.disk, self.queue_disk):
            unmount(disk)
        shutil.rmtree(self.root, ignore_errors=True)


def _cluster(folder: Path) -> Cluster:
    programs = find_programs()
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    place = folder / f"postgresql-{uuid.uuid4().hex[:6]}"
    place.mkdir()
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
    cluster = Cluster(programs, place, free_port())
    cluster.create()
    cluster.start()
    return cluster
