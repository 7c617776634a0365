"""Subunit version 1, which RefStack of 2014 and ``refstack-client upload-subunit`` read, to version 2 and back."""

from __future__ import annotations

import codecs
import re
from typing import Any, BinaryIO

from subunit import ByteStreamToStreamResult, StreamResultToBytes, TestProtocolClient
from testtools import ExtendedToStreamDecorator, StreamToExtendedDecorator

from refstack_worker.errors import ResultError
from refstack_worker.server.results.subunit_v1_lines import TEST_NAME, Reader

SIGNATURE = b"\xb3"
"""The first byte of every packet of version 2; version 1 is lines of text."""


MAX_BYTES = 32 * 1024 * 1024
"""Limit for a stream of version 1, whose details are collected in memory."""
HEAD = 4096
"""Bytes that tell the version of a stream."""
_LINE = re.compile(
    rb"^(?:\xef\xbb\xbf)?(?:"
    rb"(?:test(?:ing)?|time|progress|tags|success(?:ful)?|failure|error|skip|xfail|uxsuccess): ?\S"
    # the colon may be missing; other text also has lines that begin with such a word
    rb"|test(?:ing)? " + TEST_NAME + rb"\r?$)",
    re.MULTILINE,
)


def is_v1(head: bytes) -> bool:
    """Return whether a stream that begins so is of version 1; text in front of a stream of version 2 is not."""
    return _LINE.search(head) is not None and (SIGNATURE not in head or b"test: " in head.partition(SIGNATURE)[0])


def to_v2(data: bytes, out: BinaryIO) -> None:
    """Write a stream of version 1 as version 2.

    :raises ResultError: it is not one, or it ends inside the details of a test.
    """
    result: Any = ExtendedToStreamDecorator(StreamResultToBytes(out))
    result.startTestRun()
    try:
        Reader(result).read(_with_unix_lines(data))
    except (OSError, MemoryError, ResultError):
        raise
    except Exception as error:
        # the library raises all kinds of errors for text that is not a stream
        raise ResultError(f"result: not a subunit v1 stream: {type(error).__name__}: {error}") from error
    result.stopTestRun()


def to_v1(source: BinaryIO, out: BinaryIO) -> None:
    """Write a stream of version 2 as version 1. Selected tests that did not run are not in it."""
    result: Any = StreamToExtendedDecorator(TestProtocolClient(out))
    result.startTestRun()
    ByteStreamToStreamResult(source, non_subunit_name="stdout").run(result)
    result.stopTestRun()


def _with_unix_lines(data: bytes) -> bytes:
    """Undo what Windows does to a text: a byte order mark, and a ``\\r`` before each ``\\n``."""
    data = data.removeprefix(codecs.BOM_UTF8)
    found = _LINE.search(data)
    # lengths of details end in \r\n in any stream, so that it is decided by a line that never does
    if found and data[found.start() :].partition(b"\n")[0].endswith(b"\r"):
        data = data.replace(b"\r\n", b"\n")
    # the library takes the last letter of a line for its end
    return data if data.endswith(b"\n") else data + b"\n"
