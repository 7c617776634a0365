"""Random subunit v2 streams, as runs of Tempest and others write them, written by the subunit library."""

from __future__ import annotations

import io
import random
from datetime import datetime, timedelta, timezone
from typing import Any

from subunit import StreamResultToBytes

from refstack_worker.contract.outcomes import selected_packet
from refstack_worker.execute_test.tempest.counts import TestCounter
from refstack_worker.execute_test.tempest.result_stream import ResultStream

STATUSES = ("inprogress", "success", "fail", "skip", "xfail", "uxsuccess", "exists", None)
ODD = ("subunit.parser", "ü (x", "a.B.test_[", "test", "setUpClass (a.B", "setUpClass ()", "x" * 600, "a.B.c(d=[1])")
FILES = ("traceback", "reason", "Parser Error", "Packet data", "pythonlogging:''", "traceback-1")
_TEXT = "text/plain;charset=utf8"


def names(source: random.Random) -> list[str]:
    """Return names of tests, classes and modules, some of them odd."""
    classes = [f"tempest.api.m{number}.Test{letter}" for number in range(2) for letter in "AB"]
    tests = [f"{parent}.test_{number}[id-{number}]" for parent in classes for number in range(3)]
    groups = [f"{kind} ({parent})" for parent in classes for kind in ("setUpClass", "tearDownClass")]
    modules = ["setUpModule (tempest.api.m0)", "tearDownModule (tempest.api.m1)", "setUpModule (tempest)"]
    return source.sample([*tests, *groups, *modules, *ODD], 12)


def stream(source: random.Random) -> bytes:
    """Return a stream of up to 40 events: in any order, repeated, unfinished, without times."""
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    known = names(source)
    moment = datetime(2026, 11, 22, tzinfo=timezone.utc)
    for _ in range(source.randint(1, 40)):
        moment += timedelta(seconds=source.random())
        more: dict[str, Any] = {"timestamp": moment} if source.random() < 0.8 else {}
        if source.random() < 0.3:
            text = source.choice(("why", "Zeile ü\n", "", "x" * 3000)).encode()
            more.update(file_name=source.choice(FILES), file_bytes=text, mime_type=_TEXT, eof=source.random() < 0.5)
        to.status(test_id=source.choice(known), test_status=source.choice(STATUSES), **more)
    return out.getvalue()


def on_node(data: bytes, selected: list[str], piece: int = 1000) -> tuple[TestCounter, bytes]:
    """Let the node follow a stream; return its counter and the stream that it posts."""
    kept = bytearray()
    counter = TestCounter()
    following = ResultStream(kept.extend, lambda packet: (counter.packet(packet), None)[1], lambda text: None)
    for start in range(0, len(data), piece):
        following.feed(data[start : start + piece])
    following.close()
    counter.listed(selected)
    # the node posts nothing when a test did not end; the server, which may be sent such a stream, counts it as failed
    counter.outcomes.finish()
    for one in counter.outcomes.answered():
        kept += selected_packet(one.test)
    return counter, bytes(kept)
