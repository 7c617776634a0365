"""gearmand's administrative protocol: does it answer, and which functions has each worker registered."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

DEFAULT_PORT = 4730
SECONDS = 5.0
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class RegisteredWorker:
    """A worker's connection and its functions."""

    client_id: str
    functions: frozenset[str]


def split(address: str) -> tuple[str, int]:
    """Return host and port of ``host``, ``host:port`` or ``[v6]:port``."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.endswith("]")):
        host, port = address, str(DEFAULT_PORT)
    return host.strip("[]"), int(port)


def workers(address: str) -> list[RegisteredWorker]:
    """Return the registered workers. :raises OSError: the server does not answer as gearmand does."""
    answer = _request(address, b"workers\n")
    if not _complete(answer):
        raise OSError("the answer is not from a Gearman server")
    return list(_parse(answer.decode("utf-8", "replace")))


def _parse(text: str) -> Iterator[RegisteredWorker]:
    # <file descriptor> <address> <client id> : <function> ...
    for line in text.splitlines():
        head, colon, functions = line.partition(" :")
        words = head.split()
        if colon and len(words) >= 2:
            yield RegisteredWorker(words[2] if len(words) > 2 else "-", frozenset(functions.split()))


def _request(address: str, command: bytes) -> bytes:
    answer = b""
    with socket.create_connection(split(address), timeout=SECONDS) as connection:
        connection.sendall(command)
        while not _complete(answer) and len(answer) < MAX_BYTES:
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    return answer


def _complete(answer: bytes) -> bool:
    return answer == b".\n" or answer.endswith(b"\n.\n")
