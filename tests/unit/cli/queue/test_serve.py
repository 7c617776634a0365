"""The services of the server's side tell systemd's watchdog that they live, as long as they do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from refstack_worker.cli.queue import serve
from refstack_worker.cli.queue.main import main

SECONDS = 10


@pytest.mark.parametrize("value", ["127.0.0.1:99999", "127.0.0.1:x", "[::1:8000", "nosuch.invalid"])
def test_an_address_to_listen_on_is_checked_as_an_option(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["api", "--listen", value])
    shown = capsys.readouterr().err
    assert "argument --listen: " in shown and "gearman" not in shown


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Be systemd: the socket that services write to, with a watchdog of 0.4 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listener


@contextmanager
def waiting(url: str) -> Iterator[None]:
    """Have a service wait for its end while it looks whether ``url`` answers."""
    stop = threading.Event()
    thread = threading.Thread(target=serve.wait_alive, args=(stop, url))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(SECONDS)
    assert not thread.is_alive()


class NotFound(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(503)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_that_answers_is_alive_whatever_it_says(systemd: socket.socket) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with waiting(f"http://127.0.0.1:{server.server_port}"):
            assert [systemd.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        server.shutdown()


def test_a_server_that_takes_connections_and_says_nothing_is_not(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed = threading.Semaphore(0)
    monkeypatch.setattr(serve.LOG, "error", lambda *_: noticed.release())
    with socket.create_server(("127.0.0.1", 0)) as deaf, waiting(f"http://127.0.0.1:{deaf.getsockname()[1]}"):
        assert all(noticed.acquire(timeout=SECONDS) for _ in range(3))
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


def test_without_a_watchdog_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    asked = threading.Event()
    monkeypatch.setattr(serve.requests, "head", lambda *_, **__: asked.set())
    with waiting("http://127.0.0.1:1"):
        pass
    assert not asked.is_set()


def test_the_watchdog_hears_nothing_while_a_process_of_several_is_silent(systemd: socket.socket) -> None:
    serve.tell_watchdog(0.15)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    serve.tell_watchdog(0.05)
    assert systemd.recv(100) == b"WATCHDOG=1"
