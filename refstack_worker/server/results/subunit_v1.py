"""Subunit version 1, which RefStack of 2014 and ``refstack-client upload-subunit`` read, to version 2 and back."""

from __future__ import annotations

import io
import re
from typing import Any, BinaryIO

from subunit import ByteStreamToStreamResult, ProtocolTestCase, StreamResultToBytes, TestProtocolClient
from testtools import ExtendedToStreamDecorator, StreamToExtendedDecorator

from refstack_worker.errors import ResultError

SIGNATURE = b"\xb3"
"""The first byte of every packet of version 2; version 1 is lines of text."""


MAX_BYTES = 32 * 1024 * 1024
"""Limit for a stream of version 1, whose details are collected in memory."""
HEAD = 4096
"""Bytes that tell the version of a stream."""
_LINE = re.compile(
    rb"^(?:test(?:ing)?|time|progress|tags|success(?:ful)?|failure|error|skip|xfail|uxsuccess): ?\S", re.MULTILINE
)


def is_v1(head: bytes) -> bool:
    """Return whether a stream that begins so is of version 1; text in front of a stream of version 2 is not."""
    return _LINE.search(head) is not None and (SIGNATURE not in head or b"test: " in head.partition(SIGNATURE)[0])


def to_v2(data: bytes, out: BinaryIO) -> None:
    """Write a stream of version 1 as version 2. :raises ResultError: it is not one."""
    result: Any = ExtendedToStreamDecorator(StreamResultToBytes(out))
    result.startTestRun()
    try:
        ProtocolTestCase(io.BytesIO(data), passthrough=io.BytesIO()).run(result)
    except (OSError, MemoryError):
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
