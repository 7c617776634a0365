"""Results as subunit version 1, lines of text: all that RefStack of 2014 takes.

The format is described in python-subunit's README (https://github.com/testing-cabal/subunit). Selected tests that did
not run, and output of no test, are not in it. It is all ASCII, for that server's database fails with other bytes: in
details and names ``\\xfc`` stands for ``ü``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import IO

from refstack_worker.execute_test.tempest.result_stream import ResultStream
from refstack_worker.execute_test.tempest.subunit import Packet

_PIECE = 1 << 18
_WORDS = {"success": "success", "fail": "failure", "skip": "skip", "xfail": "xfail", "uxsuccess": "uxsuccess"}
"""Status in version 2 to the word of version 1."""


def to_v1(source: IO[bytes], out: IO[bytes]) -> None:
    """Write a stream of version 2 as version 1."""
    writer = _Writer(out)
    stream = ResultStream(lambda _raw: None, writer.take, lambda _text: None)
    while piece := source.read(_PIECE):
        stream.feed(piece)
    stream.close()


@dataclass
class _Running:
    """A test that has not ended."""

    began: float | None = None
    details: dict[str, bytearray] = field(default_factory=dict)


class _Writer:
    """Writes each test when it ends: version 1 has one at a time, and several may run side by side."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._running: dict[str, _Running] = {}

    def take(self, packet: Packet) -> None:
        if not packet.test or packet.status == "exists":
            return
        test = self._running.setdefault(packet.test, _Running())
        if packet.status == "inprogress":
            test.began = packet.when
        if packet.file_name:
            test.details.setdefault(packet.file_name, bytearray()).extend(packet.content)
        if packet.status in _WORDS:
            del self._running[packet.test]
            self._out.write(b"".join(_lines(packet, test)))


def _lines(packet: Packet, test: _Running) -> Iterator[bytes]:
    name = _ascii(" ".join(packet.test.splitlines()))
    yield from _time(test.began if test.began is not None else packet.when)
    yield b"test: %s\n" % name
    yield from _time(packet.when)
    word = _WORDS[packet.status].encode()
    if not test.details:
        yield b"%s: %s\n" % (word, name)
        return
    yield b"%s: %s [ multipart\n" % (word, name)
    for detail, data in test.details.items():
        content = _ascii(data.decode("utf-8", "surrogateescape"))
        traceback = detail.startswith("traceback")
        yield b"Content-Type: " + (b"text/x-traceback;charset=utf8,language=python" if traceback
                                   else b"text/plain;charset=utf8") + b"\n"  # fmt: skip
        yield _ascii(" ".join(detail.splitlines())) + b"\n"
        if content:
            yield b"%X\r\n%s" % (len(content), content)
        yield b"0\r\n"
    yield b"]\n"


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")


def _time(when: float | None) -> Iterator[bytes]:
    if when is not None:
        yield datetime.fromtimestamp(when, timezone.utc).strftime("time: %Y-%m-%d %H:%M:%S.%fZ\n").encode()
