"""Streams as python-subunit writes them, and what the reader makes of them."""

from __future__ import annotations

import io

from subunit import ByteStreamToStreamResult
from subunit.v2 import StreamResultToBytes
from testtools import StreamToDict

from refstack_worker.execute_test.tempest.result_stream import ResultStream
from refstack_worker.execute_test.tempest.subunit import Packet


def written(*events: dict[str, object]) -> bytes:
    """A stream as python-subunit writes it."""
    out = io.BytesIO()
    writer = StreamResultToBytes(out)
    for event in events:
        writer.status(**event)
    return out.getvalue()


def taken(data: bytes, piece: int = 1 << 16) -> tuple[bytes, list[Packet], bytes]:
    """What the reader keeps, tells, and takes for text."""
    kept, packets, text = bytearray(), [], bytearray()
    stream = ResultStream(kept.extend, packets.append, text.extend)
    for at in range(0, len(data), piece):
        stream.feed(data[at : at + piece])
    stream.close()
    return bytes(kept), packets, bytes(text)


def attachments(data: bytes) -> dict[str, bytes]:
    """What python-subunit finds attached in a stream."""
    found: dict[str, bytes] = {}

    def one(test: dict[str, object]) -> None:
        for name, content in test["details"].items():  # type: ignore[attr-defined]
            found[f"{test['id']}/{name}"] = b"".join(content.iter_bytes())

    result = StreamToDict(one)
    result.startTestRun()
    ByteStreamToStreamResult(io.BytesIO(data), non_subunit_name="garbage").run(result)
    result.stopTestRun()
    return found
