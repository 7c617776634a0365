"""Both settings files of before the move, with every setting in them, are read as they were read then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refstack_worker.config import server, worker
from tests.support.takeover import DATA, read_json

NOW = {"data": "data_folder"}
"""Former name of a part to its name today."""


def last_parts(values: dict[str, Any]) -> dict[str, Any]:
    found = {name.rpartition(".")[2]: value for name, value in values.items()}
    assert len(found) == len(values)
    return found


def plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, dict, type(None))) else str(value)


def leaves(value: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and name != "config":
            yield from leaves(item, f"{before}{name}.")
        else:
            yield f"{before}{name}", [str(one) for one in item] if isinstance(item, tuple) else plain(item)


def test_every_setting_of_the_worker_is_read_as_it_was() -> None:
    read = dict(leaves(dataclasses.asdict(worker.load(DATA / "worker.toml"))))
    then: dict[str, Any] = read_json("settings.json")["worker.toml"]
    assert len(then) > 40
    assert {key: read.get(key, "missing") for key in then} == then


def test_every_setting_of_the_server_is_read_as_it_was() -> None:
    """By the last part of its name: the sections are not those of the file, which has none."""
    read = last_parts(dict(leaves(dataclasses.asdict(server.load(DATA / "refstack.cfg")))))
    then = last_parts(read_json("settings.json")["refstack.cfg"])
    assert len(then) > 30
    assert {key: read.get(NOW.get(key, key), "missing") for key in then} == then


def test_each_line_of_worker_toml_has_an_effect(tmp_path: Path) -> None:
    lines = (DATA / "worker.toml").read_text().splitlines()
    whole = worker.load(DATA / "worker.toml")
    for number, line in enumerate(lines):
        if " = " in line and "server.urls" not in line:
            fewer = tmp_path / "worker.toml"
            fewer.write_text("\n".join([*lines[:number], *lines[number + 1 :]]))
            assert dataclasses.replace(worker.load(fewer), file=whole.file) != whole, line
