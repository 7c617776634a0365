"""What stands between the parts: it holds a request for as long as a test wants, or answers in the server's place.

:class:`ApiGate` speaks HTTP and stands between the node and the API; :class:`CloudGate` passes bytes and stands between
the run and the cloud. Everything that passes is real.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.support.quiet_server import QuietServer

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "server", "date"})
GARBAGE = b"<html><body>\x00\xff{]not what was asked for</body></html>"
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ")
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Hold:
    """Which requests are held, and where: before the server sees them, or with its answer at hand."""

    matches: Callable[[str], bool]
    """Is asked with path and query."""
    answered: bool


class ApiGate:
    """A reverse proxy before the API."""

    def __init__(self, host: str, upstream_port: int) -> None:
        self._upstream = upstream_port
        self._hold: Hold | None = None
        self._open = threading.Event()
        self.held = threading.Event()
        """Set when a request is being held."""
        self.instead: tuple[int, bytes] | None = None
        """Status and body that are answered in the server's place."""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 300

            def do_GET(self) -> None:
                gate._pass_on(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = QuietServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def hold(self, hold: Hold) -> None:
        """Hold what matches until :meth:`release`."""
        self._open = threading.Event()
        self.held.clear()
        self._hold = hold

    def release(self) -> None:
        """Let go what is held, and hold nothing."""
        self._hold = None
        self._open.set()

    def close(self) -> None:
        """End it."""
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = _body_of(handler)
        hold = self._hold
        if hold is not None and not hold.matches(handler.path):
            hold = None
        if hold is not None and not hold.answered and not self._wait(handler):
            return
        try:
            status, headers, answer = self._ask(handler, body)
        except (OSError, http.client.HTTPException):
            # as if no program listened
            handler.close_connection = True
            with contextlib.suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)
            return
        # a refusal belongs to a job of an earlier run, which a queue that was started again hands out once more
        if hold is not None and hold.answered and status < 300 and not self._wait(handler):
            return
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _wait(self, handler: BaseHTTPRequestHandler) -> bool:
        """Hold; return whether the caller is still there."""
        self.held.set()
        self._open.wait()
        handler.close_connection = _is_gone(handler.connection)
        return not handler.close_connection

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Sequence[tuple[str, str]], bytes]:
        if self.instead is not None:
            return self.instead[0], [("Content-Type", "text/html")], self.instead[1]
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=120)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(handler.command, handler.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


class CloudGate:
    """Passes bytes from a node's own loopback to the cloud's services, unless it is closed."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._listening: list[socket.socket] = []
        self._lock = threading.Lock()
        self._passing = 0
        self._open = threading.Event()
        self._open.set()
        self.held = 0
        """Requests that came to a closed gate since it was closed."""

    def listen(self, namespace: Path) -> None:
        """Listen on the loopback of a network namespace, on the ports that the cloud has here."""
        made: list[socket.socket] = []
        thread = threading.Thread(target=lambda: made.extend(_listeners(namespace, self._ports)))
        thread.start()
        thread.join()
        self._listening = made
        for listener, port in zip(made, self._ports, strict=True):
            threading.Thread(target=self._accept, args=(listener, port), daemon=True).start()

    def leave(self) -> None:
        """Close the listeners: the namespace ends."""
        for listener in self._listening:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._listening = []

    def shut(self, after: int = 0) -> None:
        """Hold every request from now on, or ``after`` so many more."""
        self.held = 0
        self._passing = after
        self._open.clear()

    def release(self) -> None:
        """Let all through."""
        self._open.set()

    def _may_pass(self) -> bool:
        with self._lock:
            self._passing -= 1
            return self._passing >= 0

    def _accept(self, listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._relay, args=(connection, port), daemon=True).start()

    def _relay(self, near: socket.socket, port: int) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as far:
            near.settimeout(None)
            far.settimeout(None)
            while True:
                ready, _, _ = select.select([near, far], [], [])
                if far in ready and not _copy(far, near):
                    return
                if near in ready:
                    # not between the head of a request and its body: the server waits 4 s for that, then answers 400
                    if not self._open.is_set() and _begins(near) and not self._may_pass():
                        self.held += 1
                        self._open.wait()
                        if _is_gone(near):
                            return
                    if not _copy(near, far):
                        return


def _listeners(namespace: Path, ports: Sequence[int]) -> list[socket.socket]:
    """Listen in a network namespace. The calling thread stays in it, so it must end afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open() as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(namespace))
    return [socket.create_server(("127.0.0.1", port), backlog=64) for port in ports]


def _begins(connection: socket.socket) -> bool:
    """Whether what comes next is the head of a request."""
    return connection.recv(8, socket.MSG_PEEK).startswith(METHODS)


def _copy(source: socket.socket, target: socket.socket) -> bool:
    data = source.recv(65536)
    if data:
        target.sendall(data)
    return bool(data)


def _is_gone(connection: socket.socket) -> bool:
    """Whether the peer has closed a connection on which it sent all it had to say, or died."""
    try:
        ready, _, _ = select.select([connection], [], [], 0)
        return bool(ready) and connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def _body_of(handler: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in handler.headers.get("Transfer-Encoding", "").lower():
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    parts = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    while handler.rfile.readline().strip():
        pass
    return b"".join(parts)
