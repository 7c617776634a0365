from __future__ import annotations

import socket
from pathlib import Path

import pytest

from refstack_worker.worker.doctor import listening_ports


def test_the_program_that_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening_ports.program_on(port) == Path("/proc/self/comm").read_text().strip()
    assert listening_ports.program_on(port) == ""


def test_a_connection_to_the_port_is_not_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            assert listening_ports.program_on(client.getsockname()[1]) == ""


def test_what_this_user_cannot_see_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening_ports, "PROC", tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("header\n 0: 0100007F:1276 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n")
    (tmp_path / "17").mkdir()
    assert listening_ports.program_on(0x1276) == ""
