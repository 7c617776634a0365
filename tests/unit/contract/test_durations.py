from __future__ import annotations

import json

import pytest

from refstack_worker.contract.durations import MAX_TESTS, durations_body, read_durations


def test_what_is_sent_is_read() -> None:
    durations = {"a.B.test_c": 1.25, "a.B.test_d": 0.5, "x.Y.test_z": 3.0, "unnamed": 2.0}
    assert read_durations(json.loads(json.dumps(durations_body(durations)))) == {
        **{name: seconds for name, seconds in durations.items() if "." in name},
        ".unnamed": 2.0,
    }


def test_of_too_many_the_longest_are_sent() -> None:
    many = {f"a.B.test_{number}": float(number) for number in range(MAX_TESTS + 10)}
    read = read_durations(durations_body(many))
    assert len(read) == MAX_TESTS and min(read.values()) == 10.0


@pytest.mark.parametrize(
    "body",
    [{}, {"durations": []}, {"durations": {"a": 1}}, {"durations": {"a": {"b": "x"}}}, {"durations": {"a": {"b": -1}}},
     {"durations": {"a": {"b": True}}}, {"durations": {"a": {"b": float("inf")}}}],
)  # fmt: skip
def test_anything_else_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_durations(body)
