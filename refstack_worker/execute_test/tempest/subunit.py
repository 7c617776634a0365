"""Packets of a subunit v2 stream (https://github.com/testing-cabal/subunit, README: the wire format)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SIGNATURE = 0xB3
MAX_PACKET = 4 * 1024 * 1024
_STATUSES = ("", "exists", "inprogress", "success", "uxsuccess", "skip", "fail", "xfail")


@dataclass
class Packet:
    raw: bytearray
    test: str
    status: str
    file_name: str
    start: int
    """Where the file's bytes begin in ``raw``; the same as ``stop`` when there are none."""
    stop: int
    last: bool
    """No more bytes of this file will come."""
    when: float | None
    """Seconds since 1970."""

    @property
    def content(self) -> bytes:
        """The piece of an attached file in this packet."""
        return bytes(self.raw[self.start : self.stop])

    def replace_content(self, content: bytes) -> None:
        """Replace the content by bytes of the same length, and correct the checksum."""
        if content != self.content:
            self.raw[self.start : self.stop] = content
            self.raw[-4:] = struct.pack(">I", zlib.crc32(self.raw[:-4]) & 0xFFFFFFFF)


class NotAPacket(ValueError):
    """Bytes that begin like a packet but are not one."""


def packet_length(data: bytes) -> int | None:
    """Return the length of the packet at the start of ``data``; None if more bytes are needed.

    :raises NotAPacket: it cannot be one.
    """
    if len(data) >= 2 and data[1] >> 4 != 2:
        raise NotAPacket("not version 2")
    if len(data) < 4:
        return None
    size = 1 + (data[3] >> 6)
    if len(data) < 3 + size:
        return None
    length = int.from_bytes(data[3 : 3 + size], "big") & ((1 << (8 * size - 2)) - 1)
    if not 3 + size + 4 <= length <= MAX_PACKET:
        raise NotAPacket("impossible length")
    return length


class _PacketFields:
    """Reads the fields of a packet one after another."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def take(self, count: int) -> bytes:
        if self.at + count > self.end:
            raise NotAPacket("a field is longer than its packet")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self) -> int:
        first = self.take(1)[0]
        rest = self.take(first >> 6)
        return int.from_bytes(bytes([first & 0x3F]) + rest, "big")

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8", "replace")


def read_packet(data: bytes) -> Packet:
    """Parse a whole packet.

    :raises NotAPacket: checksum or fields are wrong.
    """
    if zlib.crc32(data[:-4]) & 0xFFFFFFFF != struct.unpack(">I", data[-4:])[0]:
        raise NotAPacket("wrong checksum")
    flags = struct.unpack(">H", data[1:3])[0]
    fields = _PacketFields(data, 3, len(data) - 4)
    fields.number()
    when = struct.unpack(">I", fields.take(4))[0] + fields.number() / 1e9 if flags & 0x0200 else None
    test = fields.text() if flags & 0x0800 else ""
    for _ in range(fields.number() if flags & 0x0080 else 0):
        fields.text()
    if flags & 0x0020:
        fields.text()
    name, start, stop = "", 0, 0
    if flags & 0x0040:
        name = fields.text()
        size = fields.number()
        start = fields.at
        fields.take(size)
        stop = fields.at
    return Packet(bytearray(data), test, _STATUSES[flags & 7], name, start, stop, bool(flags & 0x0010), when)
