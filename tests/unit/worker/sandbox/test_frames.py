from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refstack_worker.errors import RunError
from refstack_worker.worker.sandbox import frames


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=5), st.integers(1, 50))
def test_what_is_sent_comes_back_however_it_is_cut(messages: list[tuple[str, bytes]], size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for text, body in messages:
            frames.send(ours, "log", {"line": text}, body)
        ours.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: theirs.recv(65536), b""))
    reader = frames.FrameReader()
    found = []
    for at in range(0, len(data), size):
        found += reader.feed(data[at : at + size])
    assert [(frame.kind, frame.header["line"], frame.body) for frame in found] == [
        ("log", text, body) for text, body in messages
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x03abc",
        b"\0\0\0\x02[]",
        b'\0\0\0\x0c{"bytes":-1}',
        b'\0\0\0\x0e{"bytes":true}',
        b'\0\0\0\x13{"bytes":999999999}',
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(RunError, match="run socket"):
        frames.FrameReader().feed(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    try:
        frames.FrameReader().feed(data)
    except RunError:
        pass
