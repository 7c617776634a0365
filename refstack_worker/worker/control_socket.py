"""The daemon's local socket: one line of JSON in each direction; ``GET /metrics`` and ``/health`` for curl."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.errors import ProcessError, RefstackError, UsageError

LOG = logging.getLogger(__name__)

MODE = 0o660
MAX_LINE = 65536
POLL_SECONDS = 1.0
"""Interval at which the server thread checks whether it has to end."""
SECONDS = 10.0
"""Time limit for a caller to send its command, for the daemon to respond, and for systemd to tell the unit's state."""

Answer = Mapping[str, Any]


class ControlSocket:
    """Serves the socket, with a thread for each caller."""

    def __init__(self, path: Path, commands: Mapping[str, Callable[[], Answer]]) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()  # of an earlier process: the lock on the state folder shows that it has ended
        self._server = _Server(str(path), _handler(commands))
        os.chmod(path, MODE)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="control", daemon=True
        )

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the server thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop serving and remove the socket."""
        self._server.shutdown()
        self._server.server_close()
        with suppress(FileNotFoundError):
            self._path.unlink()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def _handler(commands: Mapping[str, Callable[[], Answer]]) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        timeout = SECONDS

        def handle(self) -> None:
            with suppress(OSError):
                line = self.rfile.readline(MAX_LINE)
                if line.startswith(b"GET "):
                    self.wfile.write(_http(line, commands))
                elif line:
                    self.wfile.write(json.dumps(_answer(line, commands)).encode() + b"\n")

    return Handler


def _answer(line: bytes, commands: Mapping[str, Callable[[], Answer]]) -> Answer:
    try:
        command = commands[json.loads(line)["command"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"ok": False, "error": f'expected {{"command": NAME}}, with one of: {", ".join(commands)}'}
    try:
        return {"ok": True, **command()}
    except RefstackError as error:
        return {"ok": False, "error": str(error)}


def _http(line: bytes, commands: Mapping[str, Callable[[], Answer]]) -> bytes:
    words = line.split()
    path = words[1].decode("ascii", "replace") if len(words) > 1 else ""
    if path == "/metrics":
        status, text = "200 OK", str(commands["metrics"]()["text"])
    elif path == "/health":
        health = commands["health"]()
        status, text = "200 OK" if health["healthy"] else "503 Service Unavailable", json.dumps(health) + "\n"
    else:
        status, text = "404 Not Found", "not found; try /metrics or /health\n"
    body = text.encode()
    head = f"HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def ask(path: Path, command: str) -> dict[str, Any]:
    """Send a command to the daemon of this node and return the response.

    :raises RefstackError: it does not run, or this user is not allowed to ask it.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline())
    except (FileNotFoundError, ConnectionRefusedError):
        raise RefstackError(f"{path}: {_why_not_running()}") from None
    except PermissionError:
        raise RefstackError(f"{path}: permission denied; run this as root or in the worker's group") from None
    except (OSError, ValueError) as error:
        raise RefstackError(f"{path}: the worker does not respond: {error}") from error
    if not isinstance(answer, dict) or not answer.get("ok"):
        raise UsageError(str(answer.get("error", answer) if isinstance(answer, dict) else answer))
    return answer


def _why_not_running() -> str:
    # after a reload or an upgrade, systemd waits some seconds before it starts the worker again
    if _is_starting():
        return "systemd is about to start the worker; try again in a few seconds ('journalctl -u refstack-worker')"
    return "the worker is not running; start it with 'systemctl start refstack-worker'"


def _is_starting() -> bool:
    """Return whether the worker's unit is starting, or waits to be started again; False without systemd."""
    command = ["systemctl", "show", "--property=ActiveState", "refstack-worker.service"]
    try:
        return process.run(command, process.Options(timeout=SECONDS)).stdout.strip() == "ActiveState=activating"
    except ProcessError:
        return False
