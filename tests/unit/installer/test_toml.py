"""Settings are written as TOML."""

from __future__ import annotations

from refstack_install import toml


def test_toml_is_written_sorted_and_read_back() -> None:
    tables = {"b": {"y": [1, "two"], "x": True}, "a": {"z z": {"k": 1.5}}}
    text = toml.dumps(tables)
    assert toml.loads(text) == tables
    assert text.index("[a]") < text.index("[b]") and text.index("x =") < text.index("y =")
