"""Old runs go with everything that is known of them, and nothing else does; PostgreSQL: in the integration tests."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from refstack_worker.cli.queue import main
from refstack_worker.config.server import ServerSettings, from_mapping
from refstack_worker.contract.console import Batch, TestLine
from refstack_worker.errors import ConfigError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.retention import PRUNED_AT_ONCE
from refstack_worker.server.monitor.monitor import Monitor, Pace
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Clock, Event, claimed, new_run, stream

DAY = 86400.0
ABOUT_A_RUN = [
    table for table in legacy_tables.METADATA.sorted_tables if "test_id" in table.c or table is legacy_tables.test
]


def finished(ledger: Ledger, folder: Path) -> int:
    """Return a run with a result, messages, a share."""
    job = claimed(ledger)
    file = folder / "result"
    file.write_bytes(stream([Event("a"), Event("b", "fail", "why")]))
    ledger.console.add(job.proof, job.claim_id, Batch(0, (TestLine(1.0, "a", "started"),)))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    test_id = job.submission.key.test_id
    ledger.accounts.share(test_id, ledger.accounts.add_vendor(f"vendor of {test_id}").id)
    return test_id


def rows_of(ledger: Ledger, test_id: int) -> dict[str, int]:
    """Return how many rows of each table are about a run."""
    found = {}
    with ledger.database.reading() as connection:
        for table in ABOUT_A_RUN:
            column = table.c.id if table is legacy_tables.test else table.c.test_id
            found[table.name] = connection.execute(select(func.count()).where(column == test_id)).scalar() or 0
    return found


def look(ledger: Ledger) -> None:
    # nothing waits, so the monitor has no need of the queue, which is not there
    client = QueueClient(ledger.settings, timeout=0.1)
    try:
        Monitor(ledger, client, Pace(queue=3600, prune=0)).look()
    finally:
        client.close()


def with_days(ledger: Ledger, clock: Clock, days: float) -> Ledger:
    """Return the same ledger with that many days of retention."""
    given = {"DATABASE_URL": ledger.settings.database.url, "KEY_FOLDER": str(ledger.settings.keys.store.parent)}
    return Ledger(from_mapping({**given, "RETENTION_DAYS": days}), clock)


def test_old_runs_go_with_all_that_is_known_of_them(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    cloud = ledger.clouds.add(NewCloud("Acme", "https://acme.example/v3")).cloud.id
    old, running = finished(ledger, tmp_path), claimed(ledger).submission.key.test_id
    not_of_every_run = {
        "queue_pin",
        "queue_link",
        "queue_delivery",
        "queue_run_guideline",
        "queue_verdict",
        "queue_upload",
        "queue_log_chunk",
        "queue_shard",
    }
    assert all(count for name, count in rows_of(ledger, old).items() if name not in not_of_every_run)
    clock.forward(30 * DAY)
    new = finished(ledger, tmp_path)
    kept = rows_of(ledger, new), rows_of(ledger, running)
    assert ledger.retention.count(clock() - 29 * DAY) == 1
    assert ledger.retention.prune(clock() - 29 * DAY) == 1
    assert ledger.retention.prune(clock() - 29 * DAY) == 0
    assert set(rows_of(ledger, old).values()) == {0}
    assert (rows_of(ledger, new), rows_of(ledger, running)) == kept
    assert ledger.clouds.get(cloud).cloud.label == "Acme"


def test_the_monitor_removes_them_some_at_a_time(ledger: Ledger, clock: Clock) -> None:
    for _ in range(PRUNED_AT_ONCE + 1):
        ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me")
    clock.forward(31 * DAY)
    kept = with_days(ledger, clock, 30)
    look(kept)
    assert ledger.queue.count_states() == {"cancelled": 1}
    look(kept)
    assert ledger.queue.count_states() == {}


def test_results_without_a_run_go_too(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "result"
    file.write_bytes(stream([Event("a"), Event("b", "fail", "why")]))
    old = acceptance.accept_anonymous(ledger, Upload.of(file, {}))
    with ledger.database.writing() as connection:
        foreign = connection.execute(insert(legacy_tables.test).values(finished=True)).inserted_primary_key[0]
    clock.forward(30 * DAY)
    new, run = acceptance.accept_anonymous(ledger, Upload.of(file, {})), finished(ledger, tmp_path)
    kept = [rows_of(ledger, test_id) for test_id in (new, run, foreign)]
    assert ledger.retention.count(clock() - 29 * DAY) == 1
    assert rows_of(ledger, old)["queue_result_test"] == 2
    look(with_days(ledger, clock, 29))
    assert set(rows_of(ledger, old).values()) == {0}
    assert [rows_of(ledger, test_id) for test_id in (new, run, foreign)] == kept
    assert ledger.retention.count(clock() - 29 * DAY) == 0


def test_runs_and_results_without_one_share_a_transactions_limit(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "result"
    file.write_bytes(stream([Event("a")]))
    for _ in range(3):
        acceptance.accept_anonymous(ledger, Upload.of(file, {}))
        ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me")
    clock.forward(2 * DAY)
    assert ledger.retention.count(clock() - DAY) == 6
    assert [ledger.retention.prune(clock() - DAY, 4) for _ in range(3)] == [4, 2, 0]


def test_without_the_setting_nothing_is_ever_removed(ledger: Ledger, clock: Clock) -> None:
    ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me")
    clock.forward(36500 * DAY)
    look(ledger)
    assert ledger.queue.count_states() == {"cancelled": 1}
    with pytest.raises(ConfigError, match="RETENTION_DAYS"):
        with_days(ledger, clock, -1)


def test_by_hand(ledger: Ledger, settings: ServerSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [ledger.runs.add(new_run()).test_id for _ in range(3)]
    for test_id in runs[:2]:
        ledger.runs.cancel(test_id, "me")
    with ledger.database.writing() as connection:
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
    told = json.loads(prune("--older-than", "90d", "--dry-run")[1])
    assert told["would be removed"] == 1 and "removed" not in told
    assert len(ledger.runs.find(RunQuery())) == 3
    told = json.loads(prune("--older-than", "90d")[1])
    assert (told["removed"], told["left"]) == (1, 0)
    assert [run.test_id for run in ledger.runs.find(RunQuery())] == [runs[2], runs[1]]
    file.write_text(file.read_text() + "RETENTION_DAYS = 89\n")
    assert json.loads(prune()[1])["removed"] == 1
