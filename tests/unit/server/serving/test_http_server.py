"""The built-in HTTP server with a fleet's connections."""

from __future__ import annotations

import http.client
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.gearman import Address
from refstack_worker.server.serving import http_server as service
from tests.support.ledgers import make_settings
from tests.support.processes import eventually

IDLE = 300
"""Connections that are kept and say nothing: three times waitress's usual limit."""


def answer(_environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [b"ok"]


@contextmanager
def serving(application: Callable[..., Any], folder: Path, **settings: Any) -> Iterator[int]:
    server = service.http_server(application, Address("127.0.0.1", 0), make_settings(folder, **settings))
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
    "header",
    [
        b"get / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_a_response(port: int, header: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(header)
        assert connection.recv(65536).split()[1] == b"400"
    asked(port).close()


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


@contextmanager
def held_threads(folder: Path, start: str, paths: Sequence[str], threads: int) -> Iterator[int]:
    """Have requests to these paths, all of which start with ``start``, hold so many threads of a server; its port."""
    stuck, release = threading.Semaphore(0), threading.Event()

    def application(environ: Any, begin: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(start):
            stuck.release()
            release.wait(60)
        return answer(environ, begin)

    with serving(application, folder) as port:
        held = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in paths]
        try:
            for one, path in zip(held, paths):
                one.request("POST", path, b"x")
            for _ in range(threads):
                assert stuck.acquire(timeout=30)
            yield port
        finally:
            release.set()
            for one in held:
                one.close()


def assert_answered(port: int, *paths: str) -> None:
    for path in paths:
        worker = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        worker.request("POST", path, b"{}")
        assert worker.getresponse().read() == b"ok"
        worker.close()


HEARTBEAT = "/worker/v1/runs/1/attempts/1/heartbeat"


def test_users_cannot_take_the_threads_of_workers(tmp_path: Path) -> None:
    with held_threads(tmp_path, "/v1/", ["/v1/runs"] * (service.THREADS + 8), service.THREADS) as port:
        assert_answered(port, HEARTBEAT, "/update-test-status/", "/health")


def test_results_that_are_read_for_long_cannot_take_the_threads_of_heartbeats(tmp_path: Path) -> None:
    paths = ["/post-result", "/post-result/"] * (service.WORKER_THREADS + service.RESULT_THREADS)
    with held_threads(tmp_path, "/post-result", paths, service.RESULT_THREADS) as port:
        assert_answered(port, HEARTBEAT)


def upload(port: int, path: str, size: int, sent: bytes = b"") -> http.client.HTTPConnection:
    """Announce a body, and send only the start of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(size))
    connection.endheaders(sent)
    return connection


def status_of(port: int, path: str, body: bytes) -> int:
    """Begin a request whose body comes in pieces; return the status of the answer, which comes before its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(ConnectionError):  # the server may have answered and closed it before it has all
            connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


class TestBodies:
    @pytest.mark.parametrize("path", ["/sign-in", "/v1/runs", "/post-results", "/"])
    def test_only_results_are_large(self, port: int, path: str) -> None:
        connection = upload(port, path, service.MAX_BODY + 1)
        # answered with the header, before the body has come
        assert connection.getresponse().status == 413
        connection.close()

    def test_all_bodies_together_are_bounded(self, port: int) -> None:
        most = service.MAX_BODIES // service.MAX_BODY
        held = [upload(port, "/v1/guidelines", service.MAX_BODY) for _ in range(most)]
        try:
            refused = upload(port, "/v1/guidelines", service.MAX_BODY)
            assert refused.getresponse().status == 503
            refused.close()
            # what is small is answered all the same
            asked(port).close()
        finally:
            for one in held:
                one.close()
        # and what was held is free again
        for _ in range(200):
            again = upload(port, "/v1/guidelines", service.FREE_BODY + 1, b"x" * (service.FREE_BODY + 1))
            status = again.getresponse().status
            again.close()
            if status == 200:
                return
        pytest.fail("the bodies of closed connections are still counted")

    @pytest.mark.parametrize("path", ["/v1/runs", "/update-test-status/"])
    def test_a_body_without_a_length_is_no_larger(self, port: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MAX_BODY", 512 * 1024)
        # and never ends
        assert status_of(port, path, b"100000\r\n" + b"x" * (service.MAX_BODY + 65_536)) == 413

    @pytest.mark.parametrize("path", ["/v1/runs", "/post-result"])
    @pytest.mark.parametrize("begin", [b"", b"1;a=", b"1\r\nx\r\n", b"0\r\n", b"0\r\na: "])
    def test_a_line_between_its_pieces_that_never_ends_is_refused(self, port: int, path: str, begin: bytes) -> None:
        """The thread that reads for all connections would copy it again and again, up to half a gibibyte."""
        assert status_of(port, path, begin + b"1" * 100_000) == 400

    def test_results_of_testing_hosts_are_not_held_up_by_others(self, tmp_path: Path) -> None:
        settings = make_settings(tmp_path, TESTING_HOSTS=["192.0.2.0/24"])
        limits = service.BodyLimits(settings)

        def request() -> service.Request:
            made = service.Request(None)
            made.content_length, made.is_result = 100 * service.MEBIBYTE, True
            return made

        kept = [request() for _ in range(service.RESULTS_FROM_ELSEWHERE)]
        assert [limits.refusal(one, "203.0.113.5") for one in kept] == [None] * len(kept)
        assert isinstance(limits.refusal(request(), "203.0.113.5"), service.Busy)
        assert limits.refusal(request(), "192.0.2.7") is None
        kept[0].held, held = None, kept[0].held
        assert held is not None
        held()
        assert limits.refusal(request(), "203.0.113.5") is None


class TestStrangers:
    """Anyone can open connections; workers are let in all the same."""

    @pytest.fixture
    def port(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
        monkeypatch.setattr(service, "MAX_OF_ADDRESS", 3)
        with serving(answer, tmp_path, TESTING_HOSTS=["127.0.0.2"]) as number:
            yield number

    def ask(self, port: int, address: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(address, 0))
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        return connection

    def test_one_address_has_few_and_workers_any_number(self, port: int) -> None:
        held = [self.ask(port, "127.0.0.1") for _ in range(3)]
        with pytest.raises((OSError, http.client.HTTPException)):
            self.ask(port, "127.0.0.1")
        held += [self.ask(port, "127.0.0.3"), *(self.ask(port, "127.0.0.2") for _ in range(5))]
        # what is closed counts no more
        held.pop(0).close()
        eventually("another is let in", lambda: self.is_let_in(port))
        for connection in held:
            connection.close()

    def test_bodies_that_one_of_them_never_ends_keep_nobody_elses_out(self, tmp_path: Path) -> None:
        limits = service.BodyLimits(make_settings(tmp_path, TESTING_HOSTS=["192.0.2.0/24"]))

        def admitted(peer: str) -> list[service.Request]:
            """Return what is let in of as many bodies as there is room for."""
            made = []
            for _ in range(service.MAX_BODIES // service.MAX_BODY):
                request = service.Request(None)
                request.content_length = service.MAX_BODY
                if limits.refusal(request, peer) is None:
                    made.append(request)
            return made

        first, other = admitted("203.0.113.5"), admitted("198.51.100.7")
        assert first and len(other) == len(first), "each has its share"
        assert admitted("2001:db8::1") and not admitted("2001:db8::2"), "of one provider's customer"
        assert admitted("192.0.2.7"), "and workers have what strangers together may not take"
        first.pop().close()
        assert len(admitted("203.0.113.5")) == 1

    def test_all_together_have_half(self, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "connection_limit", lambda: 4)
        held = [self.ask(port, "127.0.0.3"), self.ask(port, "127.0.0.4")]
        with pytest.raises((OSError, http.client.HTTPException)):
            self.ask(port, "127.0.0.5")
        self.ask(port, "127.0.0.2").close()
        for connection in held:
            connection.close()

    def is_let_in(self, port: int) -> bool:
        try:
            self.ask(port, "127.0.0.1").close()
        except (OSError, http.client.HTTPException):
            return False
        return True


def test_a_thread_waits_little_for_those_that_calculate(port: int) -> None:
    """A heartbeat needs the interpreter a dozen times; twenty threads that calculate had it for 5 ms each."""
    assert asked(port) and sys.getswitchinterval() == pytest.approx(service.SWITCH_SECONDS)
