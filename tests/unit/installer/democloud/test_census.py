"""Counting what is in a cloud, and telling what came."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from democloud.census import added, containers_on_disk


def test_added_tells_things_of_one_name_apart() -> None:
    before = {"servers": ["web 1"], "projects": ["demo"]}
    after = {"servers": ["web 1", "web 2"], "projects": ["demo"]}
    assert added(before, after) == {"servers": ["web 2"], "projects": []}


def test_deleted_containers_are_not_counted(tmp_path: Path) -> None:
    for number, (name, deleted) in enumerate((("kept", 0), ("gone", 5))):
        folder = tmp_path / "swift" / "devices" / "d1" / "containers" / "1" / "abc" / f"hash{number}"
        folder.mkdir(parents=True)
        with sqlite3.connect(folder / "x.db") as database:
            database.execute("CREATE TABLE container_info (account, container, put_timestamp, delete_timestamp)")
            database.execute("INSERT INTO container_info VALUES ('AUTH_1', ?, 3, ?)", (name, deleted))
    assert containers_on_disk(tmp_path) == ["AUTH_1/kept"]
