from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config.declared import between, names_of, read_group, setting, table
from refstack_worker.config.values import Values
from refstack_worker.errors import ConfigError


def _upper(values: Values, name: str, default: str) -> str:
    return values.text(name, default).upper()


@dataclass(frozen=True)
class Group:
    size: int = setting("SIZE", 3, "How many.", bounds=(1, 9))
    wait: float = setting("WAIT", 1.5, "Seconds.", bounds=(0, 10))
    folder: Path | None = setting("FOLDER", None, "Where.")
    words: tuple[str, ...] = setting("WORDS", ("a", "b"), "Which.")
    code: str = setting("CODE", "x", "Code.", read=_upper, also=("OLD_CODE",), secret=True)
    options: Any = setting("OPTIONS", {}, "Options.", read=lambda values, name, _: values.sections(name), shown="none")


def test_defaults_and_given_values() -> None:
    assert read_group(Group, Values({}, "f")) == Group(code="X")
    given = {"SIZE": "4", "WAIT": 2, "FOLDER": "/x", "WORDS": "c, d", "CODE": "y", "OPTIONS": {"a": {"b": 1}}}
    group = read_group(Group, Values(given, "f"))
    assert group == Group(4, 2, Path("/x"), ("c", "d"), "Y", {"a": {"b": 1}})
    assert "'Y'" not in repr(group)


def test_two_objects_do_not_share_a_default() -> None:
    assert Group().options is not Group().options


@pytest.mark.parametrize("given", [{"SIZE": 0}, {"SIZE": 1.5}, {"WAIT": 11}, {"WORDS": 5}, {"FOLDER": 1}], ids=str)
def test_a_bad_value_names_the_setting(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"f: {next(iter(given))} must be"):
        read_group(Group, Values(given, "f"))


def test_names_and_table() -> None:
    assert list(names_of((Group,))) == ["SIZE", "WAIT", "FOLDER", "WORDS", "CODE", "OLD_CODE", "OPTIONS"]
    rows = table((Group,)).splitlines()
    assert rows[2:] == [
        "| `SIZE` | `3` | How many. |",
        "| `WAIT` | `1.5` | Seconds. |",
        "| `FOLDER` | none | Where. |",
        '| `WORDS` | `["a", "b"]` | Which. |',
        '| `CODE`, `OLD_CODE` | `"x"` | Code. |',
        "| `OPTIONS` | none | Options. |",
    ]


def test_bounds_without_a_name() -> None:
    @dataclass(frozen=True)
    class Plain:
        slots: int = field(default=1, metadata=between(1, 2))

    assert Plain().slots == 1
