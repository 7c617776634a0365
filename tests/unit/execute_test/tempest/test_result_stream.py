"""The stream of results: kept as python-subunit writes it, without secrets, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.tempest.result_stream import ResultStream
from tests.unit.execute_test.tempest.streams import attachments, taken, written

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def secret() -> None:
    SECRETS.add(SECRET)


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
    stream = ResultStream(lambda data: None, lambda packet: None, lambda text: None)
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


def test_test_names_are_never_masked() -> None:
    SECRETS.add("admin")
    data = written({"test_id": "tempest.api.identity.admin.T.test_x", "test_status": "success"})
    assert taken(data)[0] == data
