"""The frames between a worker and a run: a length, a JSON header, and raw bytes if the header announces them.

Standard library only: the run's side imports nothing heavy.
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
    """One message between worker and agent."""

    header: Mapping[str, Any]
    body: bytes = b""

    @property
    def kind(self) -> str:
        """``start``, ``stop``, ``event``, ``log``, ``file`` or ``end``."""
        return str(self.header.get("type", ""))


def send(connection: socket.socket, kind: str, header: Mapping[str, Any], body: bytes = b"") -> None:
    """Send one frame. :raises OSError: the other side has gone."""
    shown = {"type": kind, **header}
    if body:
        shown["bytes"] = len(body)
    text = json.dumps(shown).encode("utf-8")
    connection.sendall(_LENGTH.pack(len(text)) + text + body)


class FrameReader:
    """Turns a stream of bytes into frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that these bytes complete. :raises RunError: invalid data."""
        self._data += data
        complete = []
        while (frame := self._next()) is not None:
            complete.append(frame)
        return complete

    def _next(self) -> Frame | None:
        if len(self._data) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._data)
        if length > MAX_HEADER:
            raise RunError(f"run socket: a header of {length} bytes is too large")
        start = _LENGTH.size + length
        if len(self._data) < start:
            return None
        header = _header(bytes(self._data[_LENGTH.size : start]))
        size = header.get("bytes", 0)
        if type(size) is not int or not 0 <= size <= MAX_BODY:
            raise RunError("run socket: a frame with an invalid size")
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
        raise RunError("run socket: a header that is not a JSON object")
    return header
