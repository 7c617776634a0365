"""The agent by itself: one end of a socket pair is its standard input. With a runner it is in ``test_runner.py``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.worker.sandbox import agent, frames
from refstack_worker.worker.sandbox.agent import Lines


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    env = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "unit"), "PYTHONPATH": os.getcwd()}
    (tmp_path / "unit").mkdir()
    process = subprocess.Popen([sys.executable, "-m", "refstack_worker.worker.sandbox.agent"], stdin=theirs, env=env)
    theirs.close()
    ours.settimeout(30)
    yield ours
    ours.close()
    assert process.wait(20) in (0, 11)


def received(connection: socket.socket, until: str = "end") -> list[frames.Frame]:
    reader, result = frames.FrameReader(), []
    while data := connection.recv(65536):
        for frame in reader.feed(data):
            result.append(frame)
            if frame.kind == until:
                return result
    return result


def start(connection: socket.socket, code: str, **header: Any) -> None:
    argv = [sys.executable, "-c", code]
    frames.send(connection, "start", {"argv": argv, "env": {"PATH": os.defpath}, "files": [], "grace": 0.2, **header})


def test_output_and_status_come_back(connection: socket.socket, tmp_path: Path) -> None:
    start(connection, "print('{\"event\": \"x\"}'); print('plain'); raise SystemExit(3)")
    *rest, end = received(connection)
    assert end.header["status"] == 3
    assert [frame.header.get("event", frame.header.get("line")) for frame in rest] == [{"event": "x"}, "plain"]


def test_the_folder_is_in_the_units_runtime_folder_and_goes_with_the_connection(
    connection: socket.socket, tmp_path: Path
) -> None:
    start(connection, "import os; print(os.environ['HOME'])")
    line, _ = received(connection)
    folder = Path(line.header["line"])
    assert folder.parent == tmp_path / "unit" and folder.stat().st_mode & 0o777 == 0o700
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b"", "the agent closes its side when everything is gone"
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["file", "nonsense"])
def test_a_frame_that_a_worker_never_sends_ends_it(connection: socket.socket, kind: str) -> None:
    frames.send(connection, kind, {})
    assert received(connection) == []


def test_a_stop_ends_the_program_and_not_the_agent(connection: socket.socket) -> None:
    start(connection, "import time; print('up', flush=True); time.sleep(600)")
    received(connection, "log")
    frames.send(connection, "stop", {})
    assert received(connection)[-1].header["status"] < 0
    start(connection, "print('again')")
    assert received(connection)[0].header["line"] == "again"


def test_lines_are_split_wherever_the_pieces_end() -> None:
    lines: list[bytes] = []
    splitter = Lines(lines.append)
    for byte in b"one\ntwo\n\nthree":
        splitter.feed(bytes([byte]))
    splitter.feed(b"")
    assert lines == [b"one", b"two", b"", b"three"]


def test_a_private_file_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    agent.write_private(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o600


def test_a_private_file_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("not the run's")
    (tmp_path / "token").symlink_to(tmp_path / "target")
    agent.write_private(tmp_path / "token", b"secret")
    assert (tmp_path / "target").read_text() == "not the run's"


def test_the_base_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
    assert agent.base_folder() == Path("/run/a")
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert agent.base_folder() is None


def test_without_a_connection_it_says_so() -> None:
    argv = [sys.executable, "-m", "refstack_worker.worker.sandbox.agent"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "standard input is not a connection to a worker" in done.stderr
