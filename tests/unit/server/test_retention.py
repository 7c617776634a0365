"""Old runs go with everything that is known of them, and nothing else does; PostgreSQL: in the integration tests."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from refstack_worker.cli.queue import main
from refstack_worker.config.server import ServerSettings, from_mapping
from refstack_worker.errors import ConfigError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.accounts import PRUNED_AT_ONCE
from refstack_worker.server.ledger.ledger import Store
from refstack_worker.server.ledger.results import Upload
from refstack_worker.server.monitor.monitor import Monitor, Pace
from refstack_worker.server.queue.client import QueueClient
from tests.support.ledgers import Clock, Event, claimed, new_run, stream

DAY = 86400.0
ABOUT_A_RUN = [
    table for table in legacy_tables.METADATA.sorted_tables if "test_id" in table.c or table is legacy_tables.test
]


def finished(store: Store, folder: Path) -> int:
    """Return a run with a result, messages, a share."""
    job = claimed(store)
    file = folder / "result"
    file.write_bytes(stream([Event("a"), Event("b", "fail", "why")]))
    store.accept_result(job.proof, Upload.of(file, {}))
    test_id = job.submission.key.test_id
    store.share(test_id, store.add_vendor(f"vendor of {test_id}").id)
    return test_id


def rows_of(store: Store, test_id: int) -> dict[str, int]:
    """Return how many rows of each table are about a run."""
    found = {}
    with store.database.reading() as connection:
        for table in ABOUT_A_RUN:
            column = table.c.id if table is legacy_tables.test else table.c.test_id
            found[table.name] = connection.execute(select(func.count()).where(column == test_id)).scalar() or 0
    return found


def look(store: Store) -> None:
    # nothing waits, so the monitor has no need of the queue, which is not there
    client = QueueClient(store.settings, timeout=0.1)
    try:
        Monitor(store, client, Pace(queue=3600, prune=0)).look()
    finally:
        client.close()


def with_days(store: Store, clock: Clock, days: float) -> Store:
    """Return the same ledger with that many days of retention."""
    given = {"DATABASE_URL": store.settings.database.url, "KEY_FOLDER": str(store.settings.keys.store.parent)}
    return Store.open(from_mapping({**given, "RETENTION_DAYS": days}), clock)


def test_old_runs_go_with_all_that_is_known_of_them(store: Store, clock: Clock, tmp_path: Path) -> None:
    cloud = store.add_cloud(NewCloud("Acme", "https://acme.example/v3")).cloud.id
    old, running = finished(store, tmp_path), claimed(store).submission.key.test_id
    assert all(count for name, count in rows_of(store, old).items() if name != "queue_run_guideline")
    clock.forward(30 * DAY)
    new = finished(store, tmp_path)
    kept = rows_of(store, new), rows_of(store, running)
    assert store.count_prunable(clock() - 29 * DAY) == 1
    assert store.prune(clock() - 29 * DAY) == 1
    assert store.prune(clock() - 29 * DAY) == 0
    assert set(rows_of(store, old).values()) == {0}
    assert (rows_of(store, new), rows_of(store, running)) == kept
    assert store.cloud(cloud).cloud.label == "Acme"


def test_the_monitor_removes_them_some_at_a_time(store: Store, clock: Clock) -> None:
    for _ in range(PRUNED_AT_ONCE + 1):
        store.cancel(store.add_run(new_run()).test_id, "me")
    clock.forward(31 * DAY)
    kept = with_days(store, clock, 30)
    look(kept)
    assert store.count_states() == {"cancelled": 1}
    look(kept)
    assert store.count_states() == {}


def test_results_without_a_run_go_too(store: Store, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "result"
    file.write_bytes(stream([Event("a"), Event("b", "fail", "why")]))
    old = store.accept_anonymous(Upload.of(file, {}))
    with store.database.writing() as connection:
        foreign = connection.execute(insert(legacy_tables.test).values(finished=True)).inserted_primary_key[0]
    clock.forward(30 * DAY)
    new, run = store.accept_anonymous(Upload.of(file, {})), finished(store, tmp_path)
    kept = [rows_of(store, test_id) for test_id in (new, run, foreign)]
    assert store.count_prunable(clock() - 29 * DAY) == 1
    assert rows_of(store, old)["queue_result_test"] == 2
    look(with_days(store, clock, 29))
    assert set(rows_of(store, old).values()) == {0}
    assert [rows_of(store, test_id) for test_id in (new, run, foreign)] == kept
    assert store.count_prunable(clock() - 29 * DAY) == 0


def test_runs_and_results_without_one_share_a_transactions_limit(store: Store, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "result"
    file.write_bytes(stream([Event("a")]))
    for _ in range(3):
        store.accept_anonymous(Upload.of(file, {}))
        store.cancel(store.add_run(new_run()).test_id, "me")
    clock.forward(2 * DAY)
    assert store.count_prunable(clock() - DAY) == 6
    assert [store.prune(clock() - DAY, 4) for _ in range(3)] == [4, 2, 0]


def test_without_the_setting_nothing_is_ever_removed(store: Store, clock: Clock) -> None:
    store.cancel(store.add_run(new_run()).test_id, "me")
    clock.forward(36500 * DAY)
    look(store)
    assert store.count_states() == {"cancelled": 1}
    with pytest.raises(ConfigError, match="RETENTION_DAYS"):
        with_days(store, clock, -1)


def test_by_hand(store: Store, settings: ServerSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [store.add_run(new_run()).test_id for _ in range(3)]
    for test_id in runs[:2]:
        store.cancel(test_id, "me")
    with store.database.writing() as connection:
        old = update(queue_tables.run).where(queue_tables.run.c.test_id == runs[0])
        connection.execute(old.values(ended_at=time.time() - 90.5 * DAY))
        recent = update(queue_tables.run).where(queue_tables.run.c.test_id == runs[1])
        connection.execute(recent.values(ended_at=time.time() - 89.5 * DAY))
    file = tmp_path / "refstack.cfg"
    file.write_text(f"DATABASE_URL = {settings.database.url!r}\n")

    def prune(*words: str) -> tuple[int, str]:
        status = main.main(["--config", str(file), "db", "prune", *words, "-f", "json"])
        said = capsys.readouterr()
        return status, said.out or said.err

    status, said = prune()
    assert status == 2 and "RETENTION_DAYS" in said
    assert json.loads(prune("--older-than", "90d", "--dry-run")[1])["left"] == 1
    told = json.loads(prune("--older-than", "90d")[1])
    assert (told["removed"], told["left"]) == (1, 0)
    assert [run.test_id for run in store.runs(RunQuery())] == [runs[2], runs[1]]
    file.write_text(file.read_text() + "RETENTION_DAYS = 89\n")
    assert json.loads(prune()[1])["removed"] == 1
