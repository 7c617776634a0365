"""A run that several nodes share, in the ledger: recorded, given to nodes, looked at as the monitor does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select

from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import shard_results
from tests.support.ledgers import CONF, Event, Job, new_run, stream, submit

ALPHA, BETA, GAMMA = "a.test_x.Alpha", "a.test_x.Beta", "a.test_x.Gamma"
SPEC = RunSpec(tempest_version="47.0.0", shards=2)
PLANS = (ShardPlan((ALPHA,), 2, CONF), ShardPlan((BETA,), 1, CONF))


def split(ledger: Ledger, plans: Sequence[ShardPlan] = PLANS, **given: object) -> int:
    return ledger.runs.add(new_run(spec=SPEC, shards=tuple(plans), **given)).test_id


def part(ledger: Ledger, test_id: int, number: int) -> int:
    found = ledger.shards.of_run(test_id)[number - 1].test_id
    assert found is not None
    return found


def held(ledger: Ledger, test_id: int, number: int, worker: str) -> Job:
    """Give a part to a node, as the queue does."""
    job = submit(ledger, part(ledger, test_id, number)).by(f"claim-of-{worker}")
    assert ledger.attempts.claim(job.proof, Claim(job.claim_id, worker, "47.0.0", "l" * 64)).granted
    return job


def post(ledger: Ledger, job: Job, folder: Path, *names: str, status: str = "success") -> None:
    file = folder / "posted"
    file.write_bytes(stream([Event(name, status, "no" if status != "success" else "") for name in names]))
    counts = {"passed": len(names), "failed": 0, "skipped": 0}
    acceptance.accept(ledger, job.proof, Upload.of(file, {"cpid": "c1", "exit_code": 0, "counts": counts}))


def look(ledger: Ledger) -> None:
    for test_id in ledger.shards.going_on():
        shard_results.advance(ledger, test_id)


def rows(ledger: Ledger, table: object = queue_tables.result_test) -> dict[int, int]:
    with ledger.database.reading() as connection:
        question = select(table.c.test_id, func.count()).group_by(table.c.test_id)  # type: ignore[attr-defined]
        return {row[0]: row[1] for row in connection.execute(question)}


def finished(ledger: Ledger, tmp_path: Path) -> int:
    run = split(ledger)
    for number, names in enumerate(((f"{ALPHA}.test_1", f"{ALPHA}.test_2"), (f"{BETA}.test_1",)), 1):
        post(ledger, held(ledger, run, number, f"node-{number}"), tmp_path, *names)
    look(ledger)
    return run
