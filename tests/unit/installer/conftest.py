"""A machine to install on, with gearmand and a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gear
import pytest

from tests.support.http_server import serving
from tests.support.node_machine import FLEET, KEY, SERVERS, NodeMachine


@pytest.fixture
def gearmand() -> Iterator[str]:
    server = gear.Server(port=0, host="127.0.0.1")
    yield f"127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture
def http() -> Iterator[str]:
    with serving() as server:
        yield server.url


@pytest.fixture
def machine(tmp_path: Path, gearmand: str, http: str) -> Iterator[NodeMachine]:
    root, inputs = tmp_path / "root", tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "key.asc").write_text(KEY)
    (inputs / "fleet.key").write_text(FLEET + "\n")
    (inputs / "server.pub").write_text(SERVERS + "\n")
    machine = NodeMachine(root, gearmand, http)
    machine.write("etc/os-release", 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n')
    machine.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    machine.write("etc/group", "root:x:0:\n")
    (root / "var").mkdir()
    yield machine
    machine.follow(False)
