"""The built-in HTTP server with a fleet's connections."""

from __future__ import annotations

import http.client
import resource
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.gearman import Address
from refstack_worker.server import service
from tests.support.ledgers import make_settings

IDLE = 300
"""Connections that are kept and say nothing: three times waitress's usual limit."""


def answer(_environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [b"ok"]


@contextmanager
def serving(application: Callable[..., Any], folder: Path) -> Iterator[int]:
    server = service.http_server(application, Address("127.0.0.1", 0), make_settings(folder))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.task_dispatcher.shutdown()
        server.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with serving(answer, tmp_path) as number:
        yield number


def asked(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"
    return connection


def test_idle_connections_of_a_fleet_keep_nobody_from_being_answered(port: int) -> None:
    kept = [asked(port) for _ in range(IDLE)]
    try:
        asked(port).close()
    finally:
        for connection in kept:
            connection.close()


@pytest.mark.parametrize(
    ("files", "connections"),
    [(1024, 768), (65536, 8192), (resource.RLIM_INFINITY, 8192), (300, 100)],
)
def test_as_many_connections_as_open_files_have_room_for(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (files, files))
    assert service.connection_limit() == connections


def test_a_request_that_waits_for_a_thread_is_no_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waiting, gate = threading.Semaphore(0), threading.Event()

    def slow(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        waiting.release()
        gate.wait(30)
        return answer(environ, start)

    with serving(slow, tmp_path) as port:
        threads = [threading.Thread(target=lambda: asked(port).close()) for _ in range(2 * service.THREADS)]
        for thread in threads:
            thread.start()
        for _ in range(service.THREADS):
            assert waiting.acquire(timeout=20)
        gate.set()
        for thread in threads:
            thread.join(20)
    assert [record.getMessage() for record in caplog.records] == []
