"""Several processes on one socket: all serve, one that ends is replaced, and what cannot start says so."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address
from refstack_worker.server.serving import processes
from refstack_worker.server.serving.processes import ApiProcesses, Serve

SECONDS = 60


def tell_pid(listener: socket.socket, alive: Callable[[], None]) -> None:
    """Answer each connection with the number of this process, until a signal ends it."""
    parent = os.getppid()
    while os.getppid() == parent:
        alive()
        if select.select([listener], [], [], 0.05)[0]:
            try:
                peer, _address = listener.accept()
            except BlockingIOError:
                continue
            with peer:
                peer.sendall(str(os.getpid()).encode())


@contextmanager
def running(
    serve: Serve, count: int = 2, is_well: Callable[[float], None] | None = None
) -> Iterator[tuple[int, list[int], threading.Event]]:
    """Give the port, the exit status once there is one, and what is set when all answer."""
    ready, stop = threading.Event(), threading.Event()
    ended: list[int] = []
    with processes.listen(Address("127.0.0.1", 0)) as listener:
        group = ApiProcesses(listener, serve, count, is_well)
        thread = threading.Thread(target=lambda: ended.append(group.run(stop, ready.set)))
        thread.start()
        try:
            yield listener.getsockname()[1], ended, ready
        finally:
            stop.set()
            thread.join(SECONDS)
    assert not thread.is_alive()


def serving(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        return int(connection.recv(20))


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(processes, "LOOK_SECONDS", 0.05)


def test_all_processes_serve_and_end_with_the_group() -> None:
    seen: set[int] = set()
    with running(tell_pid) as (port, ended, ready):
        assert ready.wait(SECONDS)

        def both() -> bool:
            seen.add(serving(port))
            return len(seen) == 2

        until(both)
        assert os.getpid() not in seen and not ended
    assert ended == [0]
    assert not [pid for pid in seen if Path(f"/proc/{pid}").exists()]


def test_a_process_that_ends_is_started_again() -> None:
    with running(tell_pid, count=1) as (port, ended, ready):
        assert ready.wait(SECONDS)
        first = serving(port)
        os.kill(first, signal.SIGKILL)
        until(lambda: serving(port) != first)
        assert not ended


def test_what_cannot_start_ends_the_group_with_its_status() -> None:
    def refuse(_listener: socket.socket, _alive: Callable[[], None]) -> None:
        raise ConfigError("KEY_FOLDER: no keys")

    with running(refuse) as (_port, ended, ready):
        until(lambda: bool(ended))
        assert ended == [ConfigError.exit_code] and not ready.is_set()


def test_a_process_that_does_not_answer_is_noticed(tmp_path: Path) -> None:
    def deaf_or_not(listener: socket.socket, alive: Callable[[], None]) -> None:
        tell_pid(listener, lambda: None if (tmp_path / "deaf").exists() else alive())

    silences: list[float] = []
    with running(deaf_or_not, is_well=silences.append) as (_port, _ended, ready):
        assert ready.wait(SECONDS)
        until(lambda: bool(silences))
        (tmp_path / "deaf").touch()
        until(lambda: silences[-1] > 1)
    (tmp_path / "deaf").touch()
    with running(deaf_or_not) as (port, _ended, ready):
        until(lambda: bool(serving(port)))
        assert not ready.is_set()


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="is the port taken"):
            processes.listen(Address("127.0.0.1", port))
