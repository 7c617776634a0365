from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refstack_worker.contract import console
from refstack_worker.contract.console import Batch, RequestLine, TestLine, line_to_json, masked, read_batch, read_line

TEST = TestLine(1764133200.5, "tempest.api.object_storage.test_x.TestX.test_y[id-1]", "failed", 1.25)
REQUEST = RequestLine(1764133200.5, "GET", "/v1/AUTH_1/c?format=json", 200, 12, "object-store", "req-1", "TestX:test_y")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("line", [TEST, REQUEST])
def test_a_line_is_read_back(line: console.ConsoleLine) -> None:
    assert read_line(json.loads(json.dumps(line_to_json(line)))) == line


def test_a_batch_is_read_back() -> None:
    batch = Batch(7, (TEST, REQUEST), 3)
    assert read_batch(json.loads(json.dumps(batch.to_json()))) == batch


@pytest.mark.parametrize(
    "change",
    [
        {"event": "progress"},
        {"status": "cancelled"},
        {"status": None},
        {"time": "now"},
        {"time": -1},
        {"time": float("nan")},
        {"time": True},
        {"test": 3},
    ],
)
def test_a_line_that_makes_no_sense_is_none(change: dict[str, object]) -> None:
    assert read_line({**line_to_json(TEST), **change}) is None


def test_texts_are_cut_and_are_one_line() -> None:
    line = read_line({**line_to_json(REQUEST), "path": "/a\n" + "b" * 10_000, "request_id": "r" * 10_000})
    assert isinstance(line, RequestLine)
    assert len(line.path) == console.MAX_PATH and "\n" not in line.path and len(line.request_id) == console.MAX_WORD


def test_texts_are_masked() -> None:
    line = masked(RequestLine(1.0, "GET", "/v3?token=hunter22", 200, 1), lambda text: text.replace("hunter22", "***"))
    assert isinstance(line, RequestLine) and line.path == "/v3?token=***"
    assert "hunter22" not in str(line_to_json(REQUEST, lambda text: "***"))


@given(JSON)
def test_nothing_raises(value: Any) -> None:
    read_line(value)
    read_batch(value)
    read_line({**line_to_json(TEST), "seconds": value})
    read_batch({"first": 0, "lines": value})


@pytest.mark.parametrize(
    "value",
    [
        {"first": -1, "lines": []},
        {"first": True, "lines": []},
        {"first": 0, "lines": "x"},
        {"first": 0, "lines": [{}]},
        {"first": 0, "lines": [line_to_json(TEST)] * (console.MAX_BATCH + 1)},
        {"lines": []},
    ],
)
def test_a_batch_that_makes_no_sense_is_none(value: object) -> None:
    assert read_batch(value) is None


def test_no_control_character_of_a_cloud_gets_through() -> None:
    line = read_line({**line_to_json(REQUEST), "path": "/a\x1b[2J\u202eb", "request_id": "\x9b1Areq"})
    assert isinstance(line, RequestLine)
    assert (line.path, line.request_id) == ("/a\ufffd[2J\ufffdb", "\ufffd1Areq")
