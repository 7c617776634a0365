"""gearmand's text protocol: is it there, and who is registered for what."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

DEFAULT_PORT = 4730
SECONDS = 5.0
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Registered:
    """A connection of a worker and the functions that it takes."""

    client_id: str
    functions: frozenset[str]


def split(address: str) -> tuple[str, int]:
    """Return host and port of ``host``, ``host:port`` or ``[v6]:port``."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.endswith("]")):
        host, port = address, str(DEFAULT_PORT)
    return host.strip("[]"), int(port)


def workers(address: str) -> list[Registered]:
    """Return who is registered. :raises OSError: the server is not there."""
    answer = _ask(address, b"workers\n")
    if not _complete(answer):
        raise OSError("what answers there is no Gearman server")
    return list(_parse(answer.decode("utf-8", "replace")))


def _parse(text: str) -> Iterator[Registered]:
    # <file descriptor> <address> <client id> : <function> ...
    for line in text.splitlines():
        head, colon, functions = line.partition(" :")
        words = head.split()
        if colon and len(words) >= 2:
            yield Registered(words[2] if len(words) > 2 else "-", frozenset(functions.split()))


def _ask(address: str, question: bytes) -> bytes:
    answer = b""
    with socket.create_connection(split(address), timeout=SECONDS) as connection:
        connection.sendall(question)
        while not _complete(answer) and len(answer) < MAX_BYTES:
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    return answer


def _complete(answer: bytes) -> bool:
    return answer == b".\n" or answer.endswith(b"\n.\n")
