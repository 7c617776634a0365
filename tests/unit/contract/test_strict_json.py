"""JSON that cannot be read in two ways, nor fills the memory."""

from __future__ import annotations

import tracemalloc

import pytest

from refstack_worker.contract import strict_json
from refstack_worker.errors import PayloadError


@pytest.mark.parametrize("value", ["{}", "[]", "1", '"ab"', '{"":1}'])
def test_what_would_fill_the_memory_is_refused_unparsed(value: str) -> None:
    text = '{"a":[' + f"{value}," * 1_000_000 + "1]}"
    tracemalloc.start()
    with pytest.raises(PayloadError, match="body: more than 200000 values"):
        strict_json.loads(text, "body")
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_as_many_values_as_any_run_has() -> None:
    names = [f"tempest.api.Test.test_{number}" for number in range(30_000)]
    assert strict_json.loads(strict_json.dumps({"names": names}), "payload") == {"names": names}


def test_values_in_texts_count_as_values_at_most() -> None:
    assert strict_json.values_in('{"a": [1, 2]}') >= 4
    assert strict_json.loads('{"a": ",,,"}', "x", most=8) == {"a": ",,,"}
