"""The files in ``tests/data/takeover``, laid out so that today's programs can use them; see the README there."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import MetaData, create_engine, select

from tests.support.processes import TOP, Program, answers, eventually, free_port

DATA = TOP / "tests" / "data" / "takeover"
VERSION_TABLE = "queue_schema"

Rows = dict[str, list[dict[str, Any]]]


def read_json(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def unpack(name: str, target: Path) -> Path:
    target.write_bytes(gzip.decompress((DATA / name).read_bytes()))
    return target


@dataclass
class OldServer:
    """The ledger of then, on SQLite or PostgreSQL, with today's programs."""

    folder: Path
    kind: str
    url: str
    queue_port: int = 4730
    port: int = field(default_factory=free_port)
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.facts: dict[str, Any] = read_json("facts.json")
        self.config = self.folder / "refstack.cfg"
        keys = self.folder / "keys"
        shutil.copytree(DATA / "keys", keys)
        for path in keys.glob("*.key"):
            path.chmod(0o600)
        values = {
            "TEST_METHOD": "gearman",
            "GEARMAN_SERVER": "127.0.0.1",
            "GEARMAN_PORT": self.queue_port,
            "DATABASE_URL": self.url,
            "DATA_FOLDER": str(self.folder / "data"),
            "KEY_FOLDER": str(keys),
            "APP_ADDRESS": self.facts["address"],
            "RATE_LIMIT": 0,
        }
        self.config.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``refstack-queue`` to its end."""
        argv = [sys.executable, "-m", "refstack_worker.cli.queue.main", "--config", str(self.config), *words]
        environment = {**os.environ, "PYTHONPATH": str(TOP)}
        return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=self.folder)

    def start(self) -> None:
        """Serve the API on a loopback port."""
        argv = [sys.executable, "-m", "refstack_worker.cli.queue.main", "--config", str(self.config), "api"]
        program = Program([*argv, "--listen", f"127.0.0.1:{self.port}"], self.folder / "api.log")
        self.programs.append(program)
        eventually(lambda: f"the API answers\n{program.text()}", lambda: answers(self.port))

    def end(self) -> None:
        for program in reversed(self.programs):
            program.end()

    def get(self, path: str, who: str = "operator") -> Any:
        """Return what the API answers: JSON, or the status where it is not 200."""
        token = self.facts["tokens"][self.kind][who]
        answer = requests.get(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        return answer.json() if answer.status_code == 200 else answer.status_code

    def rows(self) -> Rows:
        """Return every row of every table, in the order of the keys."""
        engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg2:"), future=True)
        known = MetaData()
        try:
            with engine.connect() as connection:
                known.reflect(connection)
                return {
                    name: [plain(row) for row in connection.execute(in_order(table)).mappings()]
                    for name, table in known.tables.items()
                    if name != VERSION_TABLE
                }
        finally:
            engine.dispose()


def in_order(table: Any) -> Any:
    return select(table).order_by(*table.primary_key.columns)


def plain(row: Any) -> dict[str, Any]:
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}


@dataclass
class OldNode:
    """The state folder of a node of then, with today's worker; it reaches the server through a proxy."""

    folder: Path
    server: OldServer
    locks: Path

    def __post_init__(self) -> None:
        self.state = self.folder / "state"
        shutil.copytree(DATA / "state", self.state)
        for path in self.state.glob("spool/*/entry.json"):
            self._make_recent(path)

    @cached_property
    def config(self) -> Path:
        keys = self.server.folder / "keys"
        sections: dict[str, dict[str, Any]] = {
            "node": {"name": "node-1", "state_folder": self.state, "runtime_folder": self.folder / "run"},
            "gearman": {"servers": [f"127.0.0.1:{self.server.queue_port}"]},
            "server": {"urls": [self.server.facts["address"]], "timeout": 10.0, "patience": 20.0},
            "keys": {"fleet_private": keys / "fleet.key", "server_public": keys / "sign.pub"},
            "run": {
                "runner": "embedded",
                "folder": self.folder / "runs",
                "environments": self.folder / "environments",
            },
            "environments": {
                "store": self.folder / "store",
                "lock_folders": [str(self.locks)],
                "interpreters": [sys.executable],
            },
            "spool": {"first_retry": 0.3, "last_retry": 1.0},
            "limits": {"min_free_mb": 1},
        }
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value, default=str)}" for name, value in values.items())]
        path = self.folder / "worker.toml"
        path.write_text("\n".join([*lines, ""]))
        return path

    def start(self) -> Program:
        argv = [sys.executable, "-m", "refstack_worker.cli.worker.main", "--config", str(self.config), "run"]
        # no server has the address in the payloads: the API answers for it as a proxy would
        proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY"), f"http://127.0.0.1:{self.server.port}")
        program = Program(argv, self.folder / "worker.log", {**proxies, "no_proxy": "", "NO_PROXY": ""})
        self.server.programs.append(program)
        return program

    @staticmethod
    def _make_recent(path: Path) -> None:
        """Let an entry have come this minute: those that are older than ``spool.keep_days`` are given up."""
        entry = json.loads(path.read_text())
        path.write_text(json.dumps({**entry, "since": path.stat().st_mtime}))
