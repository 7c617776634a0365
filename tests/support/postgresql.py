"""A real PostgreSQL for tests: its own cluster in a temporary folder, on a free loopback port, ended with the tests.

    from tests.support.postgresql import postgresql, postgresql_url

``postgresql`` lives as long as the session; ``postgresql_url`` is the SQLAlchemy URL of a fresh database for each test.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds for a cluster to come up on a busy machine."""


def find_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    return found[-1].parent if found else None


@dataclass
class Cluster:
    """A PostgreSQL server that tests may stop, kill and start again."""

    programs: Path
    folder: Path
    port: int
    is_durable: bool = False
    """Whether a commit waits for the disk: for measurements. Tests ask for no power cut."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make the cluster's files."""
        self._call("initdb", "-D", str(self.folder / "data"), "-U", "refstack", "-A", "trust", "-E", "UTF8", "-N")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", f"fsync={'on' if self.is_durable else 'off'}", "-c", "max_connections=200"]
        log = (self.folder / "log").open("ab")
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **_as_postgres())
        log.close()
        deadline = time.monotonic() + PATIENCE
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The process that all its others are below."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End the server, connections and all."""
        if self._process is not None:
            # INT is PostgreSQL's fast shutdown
            self._process.send_signal(2)
            self._process.wait(PATIENCE)
            self._process = None

    def crash(self) -> None:
        """End the server as a crash would: nothing is written any more, the next start recovers."""
        if self._process is not None:
            # QUIT is PostgreSQL's immediate shutdown
            self._process.send_signal(3)
            self._process.wait(PATIENCE)
            self._process = None

    def new_database(self) -> str:
        """Return the SQLAlchemy URL of a new empty database."""
        name = f"refstack_{next(self._numbers)}"
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "refstack", name)
        return f"postgresql://refstack@127.0.0.1:{self.port}/{name}"

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            **_as_postgres(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")


def _as_postgres() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "env": environment}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    programs = find_programs()
    if programs is None:
        pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="refstack-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    cluster = Cluster(programs, folder, _free_port())
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql: Cluster) -> str:
    return postgresql.new_database()
