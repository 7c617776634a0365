"""A real HTTP server on a free loopback port that answers as a test tells it, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int = 0
    """The asker's: one for each connection."""


@dataclass(frozen=True)
class Reply:
    """What to answer; ``cut`` closes the connection after so many bytes of the request's body, without an answer.

    ``lingers`` leaves it open also for who asks that it be closed.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    cut: int | None = None
    lingers: bool = False


def as_json(told: Any, status: int = 200, **headers: str) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(told).encode(), {"Content-Type": "application/json", **headers})


HTML = Reply(200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})


class Scripted:
    """Answers by method and path; a list is used up one by one, its last entry stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.replies: dict[str, list[Reply]] = {}
        self.otherwise: Callable[[Asked], Reply] = lambda asked: Reply(404, b'{"error": "not here"}')
        self.url = ""

    def on(self, path: str, *replies: Reply) -> None:
        """Answer requests for this path (without the question) so, one after another."""
        self.replies[path] = list(replies)

    def next_reply(self, path: str) -> Reply | None:
        """The answer that is due for a path."""
        due = self.replies.get(path)
        if due is None:
            return None
        return due.pop(0) if len(due) > 1 else due[0]


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A server that runs for the length of the block; with a certificate if it is given one."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # the body goes out at once, and not when the head has been acknowledged
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            reply = script.next_reply(path)
            length = int(self.headers.get("Content-Length", 0))
            if reply is not None and reply.cut is not None:
                self.rfile.read(min(length, reply.cut))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                script.asked.append(Asked(self.command, self.path, dict(self.headers), b""))
                return
            asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length), self.client_address[1])
            script.asked.append(asked)
            reply = reply or script.otherwise(asked)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = self.close_connection and not reply.lingers

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    script.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
