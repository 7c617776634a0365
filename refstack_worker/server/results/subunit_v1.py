"""Subunit version 1, which RefStack of 2014 and ``refstack-client upload-subunit`` read, to version 2 and back."""

from __future__ import annotations

import codecs
import re
import zlib
from typing import Any, BinaryIO

from subunit import ByteStreamToStreamResult, StreamResultToBytes, TestProtocolClient
from testtools import ExtendedToStreamDecorator, StreamToExtendedDecorator

from refstack_worker.contract.limits import MAX_IMPORT_BYTES
from refstack_worker.errors import ResultError
from refstack_worker.server.results.subunit_v1_lines import TEST_NAME, Reader

SIGNATURE = b"\xb3"
"""The first byte of every packet of version 2; version 1 is lines of text."""


MAX_BYTES = MAX_IMPORT_BYTES
"""Limit for a stream of version 1, whose details are collected in memory."""
HEAD = 4096
"""Bytes that tell the version of a stream."""
MIXED = (
    "result: subunit v1 and subunit v2 in one file; convert the v1 part with 'subunit-1to2' and join both, "
    "or send each part by itself"
)
_LINE = re.compile(
    rb"^(?:\xef\xbb\xbf)?(?:"
    rb"(?:test(?:ing)?|time|progress|tags|success(?:ful)?|failure|error|skip|xfail|uxsuccess): ?\S"
    # the colon may be missing; other text also has lines that begin with such a word
    rb"|test(?:ing)? " + TEST_NAME + rb"\r?$)",
    re.MULTILINE,
)
_PACKET = re.compile(rb"\xb3[\x20-\x2f].(?P<length>[\x00-\x3f]|[\x40-\x7f].|[\x80-\xbf]..)", re.DOTALL)
"""The first bytes of a packet of version 2, up to its length."""
_BEGIN = re.compile(rb"^test(?:ing)?:? ((?:\w+\.)+\w+)", re.MULTILINE)
_OUTCOME = re.compile(
    rb"^(?:success(?:ful)?|failure|error|skip|xfail|uxsuccess):? ((?:\w+\.)+\w+)", re.MULTILINE
)  # fmt: skip


def is_v1(head: bytes) -> bool:
    """Return whether a stream that begins so is of version 1; text in front of a stream of version 2 is not."""
    return _LINE.search(head) is not None and (SIGNATURE not in head or b"test: " in head.partition(SIGNATURE)[0])


def has_tests(text: bytes | bytearray) -> bool:
    """Return whether text between the packets of version 2 holds tests of version 1: one that begins and ends."""
    return not set(_BEGIN.findall(text)).isdisjoint(_OUTCOME.findall(text))


def to_v2(data: bytes, out: BinaryIO) -> None:
    """Write a stream of version 1 as version 2.

    :raises ResultError: it is not one, it ends inside the details of a test, or packets of version 2 are in it.
    """
    result: Any = ExtendedToStreamDecorator(StreamResultToBytes(out))
    result.startTestRun()
    try:
        outside = Reader(result).read(_with_unix_lines(data))
    except (OSError, MemoryError, ResultError):
        raise
    except Exception as error:
        # the library raises all kinds of errors for text that is not a stream
        raise ResultError(f"result: not a subunit v1 stream: {type(error).__name__}: {error}") from error
    if _has_packets(outside):
        raise ResultError(MIXED)
    result.stopTestRun()


def to_v1(source: BinaryIO, out: BinaryIO) -> None:
    """Write a stream of version 2 as version 1. Selected tests that did not run are not in it."""
    result: Any = StreamToExtendedDecorator(TestProtocolClient(out))
    result.startTestRun()
    ByteStreamToStreamResult(source, non_subunit_name="stdout").run(result)
    result.stopTestRun()


def _has_packets(data: bytes) -> bool:
    """Return whether a packet of version 2 is in the bytes: one with a right checksum, and not just its first byte."""
    left = 2 * len(data)  # bytes to look at: what only looks like packets, one within another, would take hours
    found = _PACKET.search(data)
    while found and left > 0:
        size = int.from_bytes(found["length"], "big") & ((1 << (8 * len(found["length"]) - 2)) - 1)
        packet = data[found.start() : found.start() + size]
        left -= len(packet)
        if len(packet) == size > 4 and zlib.crc32(packet[:-4]) == int.from_bytes(packet[-4:], "big"):
            return True
        found = _PACKET.search(data, found.start() + 1)
    return False


def _with_unix_lines(data: bytes) -> bytes:
    """Undo what Windows does to a text: a byte order mark, and a ``\\r`` before each ``\\n``."""
    data = data.removeprefix(codecs.BOM_UTF8)
    found = _LINE.search(data)
    # lengths of details end in \r\n in any stream, so that it is decided by a line that never does
    if found and data[found.start() :].partition(b"\n")[0].endswith(b"\r"):
        data = data.replace(b"\r\n", b"\n")
    # the library takes the last letter of a line for its end
    return data if data.endswith(b"\n") else data + b"\n"
