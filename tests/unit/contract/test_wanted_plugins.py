from __future__ import annotations

import pytest

from refstack_worker.contract.wanted_plugins import MAX_SETS, read_wanted


def test_sets_are_read() -> None:
    sets = [{"heat-tempest-plugin": "3.0.0", "x": "1.0.1.dev5+g1a2b3c4"}]
    assert read_wanted({"seconds": 30, "wanted_plugins": sets}) == sets


@pytest.mark.parametrize(
    "item",
    [None, "heat", [], {}, {"heat": 3}, {"heat": ""}, {"a,b": "1"}, {"a": "1=2"}, {"a\n": "1"}, {"a" * 101: "1"}],
)
def test_what_is_malformed_is_left_out(item: object) -> None:
    good = {"heat-tempest-plugin": "3.0.0"}
    assert read_wanted({"wanted_plugins": [item, good]}) == [good]


def test_a_reply_has_a_limit() -> None:
    assert read_wanted({}) == read_wanted({"wanted_plugins": {"a": "1"}}) == []
    assert len(read_wanted({"wanted_plugins": [{"a": "1"}] * (MAX_SETS + 1)})) == MAX_SETS
    assert read_wanted({"wanted_plugins": [{f"p{number}": "1" for number in range(51)}]}) == []
