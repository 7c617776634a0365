from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.postgresql import Cluster, find_programs, postgresql, postgresql_url
from tests.support.takeover import OldServer, unpack

__all__ = ["postgresql", "postgresql_url"]


@pytest.fixture
def sqlite_server(tmp_path: Path) -> Iterator[OldServer]:
    path = unpack("ledger.sqlite.gz", tmp_path / "ledger.sqlite")
    server = OldServer(tmp_path, "sqlite", f"sqlite:///{path}")
    yield server
    server.end()


@pytest.fixture
def postgresql_server(tmp_path: Path, postgresql: Cluster, postgresql_url: str) -> Iterator[OldServer]:
    dump = unpack("ledger.sql.gz", tmp_path / "ledger.sql")
    parts = urlsplit(postgresql_url)
    programs = find_programs()
    assert programs is not None and parts.hostname and parts.username
    words = [str(programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), "-h", parts.hostname]
    words += ["-p", str(parts.port), "-U", parts.username, parts.path.lstrip("/")]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PGCONNECT_TIMEOUT": "10"})
    assert done.returncode == 0, done.stderr
    server = OldServer(tmp_path, "postgresql", postgresql_url)
    yield server
    server.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> OldServer:
    """The old ledger on one of the databases, not migrated yet."""
    made = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(made, OldServer)
    return made
