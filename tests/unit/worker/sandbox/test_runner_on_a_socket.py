"""Runs in an agent that systemd starts from a socket, and agents that do not keep to the frames."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config.worker import RunSettings
from refstack_worker.errors import RunError
from refstack_worker.worker.sandbox import frames, runner
from refstack_worker.worker.sandbox.runner import Command, EmbeddedRunner, Sandbox, SystemdRunner
from tests.support.sandbox_runs import RecordingListener, python


@contextmanager
def accepting(path: Path) -> Iterator[None]:
    """Start an agent for each connection, as systemd does with Accept=yes: the connection is standard input."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    started: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            folder = path.parent / f"unit-{len(started)}"
            folder.mkdir()
            with connection:
                words = [sys.executable, "-m", "refstack_worker.worker.sandbox.agent"]
                env = {**os.environ, "RUNTIME_DIRECTORY": str(folder), "PYTHONPATH": os.getcwd()}
                started.append(subprocess.Popen(words, stdin=connection, env=env))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for process in started:
            assert process.wait(10) == 0


def test_the_same_over_a_socket_that_systemd_would_accept(tmp_path: Path) -> None:
    path = tmp_path / "run.sock"
    with accepting(path):
        chosen = runner.choose(RunSettings(runner="auto", socket=path), "instance")
        assert isinstance(chosen, SystemdRunner)
        ears = RecordingListener()
        with chosen.open("1-1-test") as sandbox:
            folder = "import os; print(os.environ['HOME'])"
            assert sandbox.run(python(folder, files={"token": b"x"}), ears).status == 0
            assert Path(ears.lines[0], "token").read_bytes() == b"x"
        assert not Path(ears.lines[0]).exists()


def test_a_socket_that_nobody_serves_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="systemctl start refstack-run.socket"), SystemdRunner(tmp_path / "no").open("x"):
        pass
    assert isinstance(runner.choose(RunSettings(runner="auto", socket=tmp_path / "no"), "i"), EmbeddedRunner)


def test_a_session_whose_agent_went_says_so() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    assert Sandbox(ours).run(Command(("true",)), RecordingListener()).lost


@pytest.mark.parametrize(
    "frame",
    [
        ("file", {"name": "unasked"}, b"x"),
        ("file", {"name": "subunit"}, b"x" * 11),
        ("end", {"status": "0"}, b""),
        ("end", {"status": [0]}, b""),
        ("reboot", {}, b""),
    ],
)
def test_a_lying_agent_is_not_believed(frame: tuple[str, dict[str, Any], bytes]) -> None:
    listener = RecordingListener()
    command = Command(("true",), results=("subunit",), max_result=10)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(RunError, match="run socket"):
        frames.send(theirs, *frame)
        Sandbox(ours).run(command, listener)
    assert listener.files == {}


def test_a_run_that_prints_without_end_is_held_up() -> None:
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = runner.OutputPace(10, lambda: now[0], sleep)
    for _ in range(35):
        pace.count()
    assert slept == [1.0, 1.0, 1.0]
    now[0] += 0.5
    for _ in range(6):
        pace.count()
    assert slept[3:] == [0.5], "half of this second is over"
    now[0] += 60
    for _ in range(10):
        pace.count()
    assert len(slept) == 4, "a run that prints little is never held up"
