"""A backup of PostgreSQL shows one moment while runs come in, and goes back into PostgreSQL or SQLite."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from refstack_worker.server.db import backup, copy_rows
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import claimed, make_settings, new_run, queued


def counted(ledger: Ledger) -> dict[str, int]:
    with ledger.database.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar()
            for table in copy_rows.tables(connection)
        }


@pytest.mark.parametrize("onto", ["postgresql", "sqlite"])
def test_one_moment_while_runs_come_in(ledger: Ledger, tmp_path: Path, onto: str, request) -> None:
    queued(ledger)
    job = claimed(ledger)
    ended = threading.Event()

    def trigger() -> None:
        while not ended.is_set():
            ledger.runs.add(new_run())

    thread = threading.Thread(target=trigger)
    thread.start()
    try:
        keys = backup.key_paths(ledger.settings.keys, [])
        made = backup.create(ledger.database, tmp_path / "backup.tar.gz", keys, "1.0")
    finally:
        ended.set()
        thread.join()
    assert made.rows["queue_run"] == made.rows["test"] <= counted(ledger)["queue_run"]
    lost = ledger.runs.add(new_run()).test_id

    more = {"DATABASE_URL": request.getfixturevalue("postgresql").new_database()} if onto == "postgresql" else {}
    other = Ledger(make_settings(tmp_path / "other", **more))
    with backup.opened(tmp_path / "backup.tar.gz") as (folder, manifest):
        for path in backup.key_paths(other.settings.keys, []):
            path.unlink()
        backup.restore_keys(folder, other.settings.keys)
        backup.load(other.database, folder, manifest)
        assert {name: rows for name, rows in counted(other).items() if rows} == {
            n: r for n, r in made.rows.items() if r
        }
        settled = other.restoring.settle()
    assert (settled.queued, settled.held) == (made.rows["queue_run"] - 1, 1)
    assert other.runs.get(job.submission.key.test_id).worker == "node-1"
    assert other.runs.add(new_run()).test_id > lost
    other.close()
