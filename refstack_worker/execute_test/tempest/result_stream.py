"""The stream of results that Tempest writes: split into packets, and kept without secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.tempest.subunit import SIGNATURE, NotAPacket, Packet, packet_length, read_packet

MAX_WAITING = 256
"""Packets that wait because a secret may continue in the next piece of the same file."""


class ResultStream:
    """Splits what Tempest writes into packets, masks secrets in them, keeps them, and reports each.

    Bytes between packets (warnings, tracebacks) go to ``on_text``. Memory is bounded: one packet, and few that wait.
    """

    def __init__(self, keep: Callable[[bytes], Any], on_packet: Callable[[Packet], None],
                 on_text: Callable[[bytes], None]) -> None:  # fmt: skip
        self._keep, self._on_packet, self._on_text = keep, on_packet, on_text
        self._buffer = bytearray()
        self._waiting: dict[tuple[str, str], list[Packet]] = {}

    def feed(self, data: bytes) -> None:
        self._buffer += data
        self._split(False)

    def close(self) -> None:
        """Process the rest; no more bytes will come."""
        self._split(True)
        self._release(list(self._waiting))

    def _split(self, final: bool) -> None:
        at = 0
        buffer = self._buffer
        while at < len(buffer):
            begin = buffer.find(SIGNATURE, at)
            if begin != at:
                stop = len(buffer) if begin < 0 else begin
                self._on_text(bytes(buffer[at:stop]))
                at = stop
                continue
            length = self._one(at, final)
            if not length:
                break
            at += length
        del buffer[:at]

    def _one(self, at: int, final: bool) -> int:
        """Take the packet at ``at``. Returns the number of bytes used; 0 when it is not complete yet."""
        try:
            length = packet_length(bytes(self._buffer[at : at + 8]))
            if length is None or at + length > len(self._buffer):
                if not final:
                    return 0
                raise NotAPacket("cut off")
            packet = read_packet(bytes(self._buffer[at : at + length]))
        except NotAPacket:
            self._on_text(bytes(self._buffer[at : at + 1]))
            return 1
        self._take(packet)
        return length

    def _take(self, packet: Packet) -> None:
        key = (packet.test, packet.file_name)
        # any other packet of this test ends the files that were open
        self._release([other for other in self._waiting if other[0] == packet.test and other != key])
        self._on_packet(packet)
        chain = [*self._waiting.pop(key, []), packet]
        waiting = _masked_together(chain, packet.last)
        for each in chain[: len(chain) - waiting]:
            self._keep(bytes(each.raw))
        if waiting:
            self._waiting[key] = chain[len(chain) - waiting :]
        if len(self._waiting) > MAX_WAITING or waiting > MAX_WAITING:
            self._release(list(self._waiting))

    def _release(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            for packet in self._waiting.pop(key):
                self._keep(bytes(packet.raw))


def _masked_together(chain: list[Packet], is_last: bool) -> int:
    """Mask successive packets of one file. Returns how many at the end have to wait for the next one."""
    masker = SECRETS.masker
    joined = masker.same_length(b"".join(each.content for each in chain))
    at = 0
    for each in chain:
        size = each.stop - each.start
        each.replace_content(joined[at : at + size])
        at += size
    open_bytes = 0 if is_last else masker.open_end(joined)
    waiting = 0
    while open_bytes > 0 and waiting < len(chain):
        waiting += 1
        open_bytes -= chain[-waiting].stop - chain[-waiting].start
    return waiting
