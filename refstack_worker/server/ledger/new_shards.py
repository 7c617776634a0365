"""The runs that are recorded for the shards of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.testcases import Testcases
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.db.shard_tables import shard
from refstack_worker.server.domain.clouds import Conf
from refstack_worker.server.domain.runs import SHARD, NewRun
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.run_rows import spec_of
from refstack_worker.server.ledger.transactions import Row

MIN_SECONDS = 60
"""Time that the last shard has at least, however late it starts."""
Insert = Callable[[Connection, NewRun], tuple[int, Any]]
"""Records a run; returns its id, and its envelope if it can be submitted at once."""


def as_runs(new: NewRun) -> Iterator[NewRun]:
    """Yield the runs that will be recorded for a run: one for each shard, else the run itself."""
    for plan in new.shards:
        spec = replace(new.spec, testcases=Testcases(plan.names), shards=0)
        yield replace(new, spec=spec, conf_json=plan.conf_json, kind=SHARD, shards=())
    if not new.shards:
        yield new


def record(connection: Connection, run: Row, plans: Sequence[ShardPlan], insert_run: Insert) -> list[Any]:
    """Record the shards of a run that is just recorded; return the envelopes of those that start at once."""
    envelopes = []
    for number, plan in enumerate(plans, 1):
        row = {"parent_id": run["test_id"], "number": number, "is_last": plan.is_last, "tests": plan.tests}
        if not plan.is_last:
            one = _run_of(connection, run, number, plan.names, plan.conf_json)
            row["test_id"], envelope = insert_run(connection, one)
            envelopes.append(envelope)
        connection.execute(insert(shard).values(names=json.dumps(plan.names), **row))
    return envelopes


def start_last(
    connection: Connection, run: Row, rows: Sequence[Row], conf: Conf, insert_run: Insert, now: float
) -> None:
    """Record runs for the shards that waited for the others, with all accounts and the time that is left.

    :param rows: of ``queue_shard``.
    """
    left = run["started_at"] + run["timeout"] - now if run["started_at"] else run["timeout"]
    for row in rows:
        one = _run_of(connection, run, row["number"], json.loads(row["names"]), conf)
        timeout = max(MIN_SECONDS, min(int(left), run["timeout"]))
        test_id, _ = insert_run(connection, replace(one, spec=replace(one.spec, timeout=timeout)))
        is_it = (shard.c.parent_id == run["test_id"]) & (shard.c.number == row["number"])
        connection.execute(update(shard).where(is_it).values(test_id=test_id))


def _run_of(connection: Connection, run: Row, number: int, names: Sequence[str], conf: Conf) -> NewRun:
    cloud = select(legacy_tables.test.c.cloud_id).where(legacy_tables.test.c.id == run["test_id"])
    return NewRun(
        spec=replace(spec_of(run), testcases=Testcases(tuple(names)), shards=0),
        conf_json=conf,
        cloud_id=connection.execute(cloud).scalar(),
        label=f"shard {number} of run {run['test_id']}",
        created_by=run["created_by"],
        owner_id=run["owner_id"],
        kind=SHARD,
    )
