"""The subunit reader: what python-subunit writes is read alike, and nothing makes it stumble or grow."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subunit import ByteStreamToStreamResult
from subunit.v2 import StreamResultToBytes
from testtools import StreamToDict

from refstack_worker import execute_test
from refstack_worker.execute_test import Mask, Packet, Stream, Tally

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def mask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mask]:
    fresh = Mask()
    fresh.add(SECRET)
    monkeypatch.setattr(execute_test, "MASK", fresh)
    yield fresh


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
    stream = Stream(kept.extend, packets.append, text.extend)
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


PLAIN = written(
    {"test_id": "a.B.test_c[id-1]", "test_status": "inprogress"},
    {"test_id": "a.B.test_c[id-1]", "file_name": "log", "file_bytes": b"hello", "mime_type": "text/plain"},
    {"test_id": "a.B.test_c[id-1]", "test_status": "success", "test_tags": {"worker-0", "x"}, "route_code": "0"},
)


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_kept_as_it_came(piece: int) -> None:
    kept, packets, text = taken(PLAIN, piece)
    assert kept == PLAIN
    assert [packet.status for packet in packets] == ["inprogress", "", "success"]
    assert packets[1].content == b"hello"
    assert text == b""


def test_text_in_between_is_told_and_not_kept() -> None:
    kept, packets, text = taken(b"Warning: \xb3 odd\n" + PLAIN + b"\xb3\x2b\x00 broken" + PLAIN + b"\xb3\x29")
    assert kept == PLAIN + PLAIN
    assert len(packets) == 6
    assert b"Warning" in text and b"broken" in text


@given(st.binary(max_size=300), st.integers(0, len(PLAIN)), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_any_bytes_do_no_harm(garbage: bytes, cut: int, piece: int) -> None:
    kept, _, _ = taken(PLAIN[:cut] + garbage + PLAIN, piece)
    # what is kept is sound for the reference reader
    attachments(kept)
    assert len(kept) <= len(PLAIN) * 2 + len(garbage)


def test_packet_that_claims_four_megabytes_does_not_hide_what_follows() -> None:
    lying = bytes([0xB3, 0x20, 0x00]) + (0x80000000 | 4 * 1024 * 1024 - 1).to_bytes(4, "big")
    _, packets, _ = taken(lying + PLAIN)
    assert [packet.status for packet in packets] == ["inprogress", "", "success"]


def test_memory_is_bounded() -> None:
    chunk = written({"test_id": "t", "file_name": "log", "file_bytes": b"x" * 1_000_000})
    stream = Stream(lambda data: None, lambda packet: None, lambda text: None)
    tracemalloc.start()
    for _ in range(60):
        stream.feed(chunk)
    stream.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25_000_000


def test_secret_is_masked_and_the_stream_stays_valid() -> None:
    data = written(
        {"test_id": "t", "file_name": "traceback", "file_bytes": f"sent {SECRET} to".encode(), "eof": True},
        {"test_id": "t", "test_status": "fail"},
    )
    kept, _, _ = taken(data)
    assert len(kept) == len(data)
    assert SECRET.encode() not in kept
    assert attachments(kept)["t/traceback"] == b"sent " + b"*" * len(SECRET) + b" to"


@given(st.lists(st.integers(0, len(SECRET) + 8), min_size=1, max_size=12), st.booleans())
@settings(max_examples=150, deadline=None)
def test_secret_in_pieces_is_masked_too(cuts: list[int], interleaved: bool) -> None:
    whole = f"say {SECRET}ok!".encode()
    marks = sorted({0, len(whole), *cuts})
    events: list[dict[str, object]] = []
    for begin, end in zip(marks, marks[1:]):
        events.append({"test_id": "t", "file_name": "log", "file_bytes": whole[begin:end]})
        if interleaved:
            events.append({"test_id": "other", "file_name": "log", "file_bytes": whole[begin:end]})
    events.append({"test_id": "t", "test_status": "fail"})
    events.append({"test_id": "other", "test_status": "fail"})
    kept, _, _ = taken(written(*events))
    found = attachments(kept)
    assert found["t/log"] == whole.replace(SECRET.encode(), b"*" * len(SECRET))
    assert found.get("other/log", found["t/log"]) == found["t/log"]


def test_test_names_are_never_masked(mask: Mask) -> None:
    mask.add("admin")
    data = written({"test_id": "tempest.api.identity.admin.T.test_x", "test_status": "success"})
    assert taken(data)[0] == data


def tally_of(*events: tuple[str, str], listed: tuple[str, ...] = ()) -> Tally:
    tally = Tally()
    tally.listed(listed)
    for test, status in events:
        for packet in taken(written({"test_id": test, "test_status": status}))[1]:
            tally.packet(packet)
    return tally


def test_tally_counts_each_test_once() -> None:
    tally = tally_of(
        ("a", "inprogress"), ("a", "success"), ("a", "success"), ("b", "fail"), ("c", "skip"), ("d", "xfail")
    )
    counts = tally.counts
    assert (counts.done, counts.passed, counts.failed, counts.skipped) == (4, 2, 1, 1)
    assert tally.running == set()


def test_class_that_cannot_be_set_up_answers_for_its_tests() -> None:
    listed = ("m.A.test_1[id-1]", "m.A.test_2[id-2]", "m.B.test_3[id-3]")
    counts = tally_of(("setUpClass (m.A)", "skip"), ("m.B.test_3[id-3]", "success"), listed=listed).counts
    assert (counts.total, counts.done, counts.passed, counts.skipped) == (3, 3, 1, 2)


@pytest.mark.parametrize("status", ["skip", "fail"])
def test_class_that_ended_before_the_list_came_answers_for_its_tests_too(status: str) -> None:
    tally = tally_of(("setUpClass (m.A)", status), ("setUpClass (m.A)", status), ("m.B.test_3", "success"))
    tally.listed(("m.A.test_1", "m.A.test_2", "m.B.test_3"))
    counts = tally.counts
    assert (counts.total, counts.done, counts.passed, counts.skipped + counts.failed) == (3, 3, 1, 2)


def test_class_that_cannot_be_torn_down_counts_as_a_failure() -> None:
    counts = tally_of(("m.A.test_1", "success"), ("tearDownClass (m.A)", "fail"), listed=("m.A.test_1",)).counts
    assert (counts.done, counts.passed, counts.failed) == (1, 1, 1)


def test_tests_that_never_ended_are_known() -> None:
    assert tally_of(("a", "inprogress"), ("b", "inprogress"), ("b", "success")).running == {"a"}


@pytest.mark.parametrize("ended", [0, 1], ids=["no test ran", "broke off"])
def test_tempest_that_broke_on_a_full_disk_is_the_machines_fault(tmp_path: Path, ended: int) -> None:
    tempest = execute_test.Tempest(tmp_path / "tempest", "47.0.0", True, True, True)
    run = execute_test.TestRun(
        tempest,
        execute_test.Workspace(tmp_path),
        execute_test.Selection(()),
        1,
        execute_test.Voice(True, io.StringIO()),
    )
    run.status = 2
    run.tally.seen = ended
    run._text(b"--- Logging error ---\nOSError: [Errno 28] No space left on device\nArguments: ('a',)\n" + b"x\n" * 40)
    with pytest.raises(execute_test.MachineFailure, match="No space left on device: Tempest"):
        execute_test.judge(run, [])
    run.disk_full = ""
    run._text(b"HTTP 507: No space left on device at the vendor's\n")
    with pytest.raises(execute_test.TempestFailure):
        execute_test.judge(run, [])
