"""The frames between a worker and a run: a length, a JSON header, and raw bytes when the header says so.

Standard library alone: the run's side imports nothing heavy.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.errors import RunError

MAX_HEADER = 4 * 1024 * 1024
"""Bytes of a header; the largest carry a command line and an environment."""
MAX_BODY = 64 * 1024 * 1024
"""Bytes behind one header; larger things come in several frames."""
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Frame:
    """One message."""

    header: Mapping[str, Any]
    body: bytes = b""

    @property
    def kind(self) -> str:
        """What it is: ``start``, ``stop``, ``event``, ``log``, ``file``, ``end``."""
        return str(self.header.get("type", ""))


def send(connection: socket.socket, kind: str, header: Mapping[str, Any], body: bytes = b"") -> None:
    """Send one frame. :raises OSError: the other side is gone."""
    shown = {"type": kind, **header}
    if body:
        shown["bytes"] = len(body)
    text = json.dumps(shown).encode("utf-8")
    connection.sendall(_LENGTH.pack(len(text)) + text + body)


class Reader:
    """Takes bytes as they come and gives frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete with these bytes. :raises RunError: they are no frames."""
        self._data += data
        found = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        if len(self._data) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._data)
        if length > MAX_HEADER:
            raise RunError(f"run socket: a header of {length} bytes is no frame")
        start = _LENGTH.size + length
        if len(self._data) < start:
            return None
        header = _header(bytes(self._data[_LENGTH.size : start]))
        size = header.get("bytes", 0)
        if type(size) is not int or not 0 <= size <= MAX_BODY:
            raise RunError("run socket: a frame of an impossible size")
        if len(self._data) < start + size:
            return None
        frame = Frame(header, bytes(self._data[start : start + size]))
        del self._data[: start + size]
        return frame


def _header(text: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise RunError("run socket: a header that is no JSON object")
    return header
