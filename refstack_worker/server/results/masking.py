"""A subunit v2 stream written again without the secrets of its run; packets without one come out as they were.

A password may stand across two packets of one file: bytes with which one may begin wait for the file's next packet, or
for anything else about that test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from subunit import StreamResultToBytes

from refstack_worker.contract.secrets import Masker

PIECE = 1024 * 1024
"""Bytes of content in one packet at most: far below what the format allows."""
MAX_WAITING = 10_000
_OF_A_TEST = ("test_id", "file_name", "mime_type", "route_code", "timestamp")

Event = dict[str, Any]


@dataclass
class _Waiting:
    """The end of a file's last packet that is not written yet."""

    event: Mapping[str, Any]
    tail: bytes


@dataclass
class MaskedStream:
    """Takes the parser's events (the interface of ``testtools.StreamResult``)."""

    out: BinaryIO
    masker: Masker
    noise: str
    """Name under which the parser passes on what stands between the packets."""
    _waiting: dict[str | None, _Waiting] = field(default_factory=dict)
    _noise: bytes = b""

    def __post_init__(self) -> None:
        self._packets = StreamResultToBytes(Unflushed(self.out))

    def status(self, test_id: str | None = None, test_status: str | None = None, **event: Any) -> None:
        if test_id is None and event.get("file_name") == self.noise:
            self._write_noise(bytes(event.get("file_bytes") or b""))
            return
        self._write_noise(b"", is_last=True)
        self._write({**event, "test_id": test_id, "test_status": test_status})

    def finish(self) -> None:
        """No more events will come."""
        self._write_noise(b"", is_last=True)
        for test_id in list(self._waiting):
            self._release(test_id)

    def _write(self, event: Event) -> None:
        test_id = event["test_id"]
        before = self._waiting.get(test_id)
        if before is not None and before.event["file_name"] != event.get("file_name"):
            self._release(test_id)
        if event.get("file_name") is None:
            self._put(event)
            return
        waited = self._waiting.pop(test_id, None)
        data = (waited.tail if waited else b"") + bytes(event.get("file_bytes") or b"")
        is_last = bool(event.get("eof")) or event["test_status"] not in (None, "inprogress")
        good, tail = self.masker.split(data, is_last)
        if tail:
            self._waiting[test_id] = _Waiting({name: event.get(name) for name in _OF_A_TEST}, tail)
        if good or not tail or event["test_status"]:
            self._put({**event, "file_bytes": good})
        if len(self._waiting) > MAX_WAITING:
            self._release(next(iter(self._waiting)))

    def _release(self, test_id: str | None) -> None:
        waited = self._waiting.pop(test_id)
        good, _ = self.masker.split(waited.tail, is_last=True)
        self._put({**waited.event, "file_bytes": good})

    def _put(self, event: Mapping[str, Any]) -> None:
        names = {name: self._name(event.get(name)) for name in ("test_id", "file_name")}
        tags = [self.masker.name(tag) for tag in sorted(event.get("test_tags") or ())]
        whole = {**event, **names, "test_tags": tags or None}
        data = whole.get("file_bytes") or b""
        while len(data) > PIECE:
            first = {name: whole.get(name) for name in _OF_A_TEST}
            self._packets.status(**first, file_bytes=data[:PIECE])
            data = data[PIECE:]
        if whole.get("file_name") is not None:
            whole["file_bytes"] = data
        self._packets.status(**whole)

    def _name(self, name: str | None) -> str | None:
        return None if name is None else self.masker.name(name)

    def _write_noise(self, data: bytes, is_last: bool = False) -> None:
        if data or self._noise:
            good, self._noise = self.masker.split(self._noise + data, is_last)
            self.out.write(good)


class Unflushed:
    """A file for the writer of packets, which would flush after each of them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def read(self, _size: int) -> bytes:
        """Return False: this file is not text."""
        return b""

    def flush(self) -> None:
        """The caller closes the file."""
