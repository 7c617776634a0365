"""Both settings files of before the move, with every setting in them, are read as they were read then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config import server, worker
from tests.support.takeover import DATA, read_json


def plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, dict, type(None))) else str(value)


def leaves(value: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and name != "config":
            yield from leaves(item, f"{before}{name}.")
        else:
            yield f"{before}{name}", [str(one) for one in item] if isinstance(item, tuple) else plain(item)


@pytest.mark.parametrize(("name", "load"), [("refstack.cfg", server.load), ("worker.toml", worker.load)])
def test_every_setting_is_read_as_it_was(name: str, load: Any) -> None:
    read = dict(leaves(dataclasses.asdict(load(DATA / name))))
    then: dict[str, Any] = read_json("settings.json")[name]
    assert len(then) > 30
    assert {key: read.get(key, "missing") for key in then} == then


def test_each_line_of_worker_toml_has_an_effect(tmp_path: Path) -> None:
    lines = (DATA / "worker.toml").read_text().splitlines()
    whole = worker.load(DATA / "worker.toml")
    for number, line in enumerate(lines):
        if " = " in line and "server.urls" not in line:
            fewer = tmp_path / "worker.toml"
            fewer.write_text("\n".join([*lines[:number], *lines[number + 1 :]]))
            assert dataclasses.replace(worker.load(fewer), file=whole.file) != whole, line
