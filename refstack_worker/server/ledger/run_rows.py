"""Rows of runs and attempts, and the objects that are made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.engine import Connection

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.testcases import Testcases
from refstack_worker.server.db import account_tables, guideline_tables, legacy_tables, queue_tables
from refstack_worker.server.db.shard_tables import shard
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.attempts import (
    Attempt,
    AttemptKey,
)
from refstack_worker.server.domain.clouds import Cloud
from refstack_worker.server.domain.results import Counts
from refstack_worker.server.domain.runs import SHARD, Run, RunQuery, RunSpec
from refstack_worker.server.ledger.transactions import (
    Row,
    no_run,
)

CLOUD_COLUMNS = [column.label(f"cloud_{column.name}") for column in legacy_tables.cloud.c]


def runs_question() -> Any:
    run, attempt = queue_tables.run, queue_tables.attempt
    joined = (
        run.join(legacy_tables.test, legacy_tables.test.c.id == run.c.test_id)
        .outerjoin(legacy_tables.cloud, legacy_tables.cloud.c.id == legacy_tables.test.c.cloud_id)
        .join(attempt, and_(attempt.c.test_id == run.c.test_id, attempt.c.attempt == run.c.attempt))
    )
    columns = [column for column in run.c if column.name != "sealed_conf"]
    return select(*columns, attempt.c.progress, *CLOUD_COLUMNS).select_from(joined)


THE_RUN = runs_question().where(queue_tables.run.c.test_id == bindparam("of_test"))


def one_run(connection: Connection, test_id: int) -> Run:
    row = connection.execute(THE_RUN, {"of_test": test_id}).mappings().first()
    if row is None:
        raise no_run(test_id)
    return run_of(row)


def conditions(query: RunQuery) -> list[Any]:
    run = queue_tables.run
    found: list[Any] = [run.c.kind != SHARD]
    if query.states:
        found.append(run.c.state.in_([state.value for state in query.states]))
    if query.owner_id is not None:
        found.append(run.c.owner_id == query.owner_id)
    if query.scope is not None:
        found.append(visible_to(query.scope))
    if query.cloud_id is not None:
        found.append(legacy_tables.test.c.cloud_id == query.cloud_id)
    if query.tempest_version:
        found.append(run.c.tempest_version == query.tempest_version)
    if query.worker:
        found.append(_on(query.worker))
    if query.text:
        found.append(_has_text(query.text.lower()))
    if query.has_failures is not None:
        found.append(run.c.failed > 0 if query.has_failures else run.c.failed == 0)
    found += [*_created(query), *_of_program_and_vendor(query)]
    if query.before:
        found.append(run.c.test_id < query.before)
    return found


def _created(query: RunQuery) -> list[Any]:
    created = queue_tables.run.c.created_at
    return [*([created >= query.since] if query.since else []), *([created < query.until] if query.until else [])]


def _of_program_and_vendor(query: RunQuery) -> Iterator[Any]:
    run, chosen, user = queue_tables.run, guideline_tables.run_guideline, legacy_tables.user
    if query.program:
        named = func.lower(chosen.c.program).endswith(query.program.lower(), autoescape=True)
        yield run.c.test_id.in_(select(chosen.c.test_id).where(named))
    if query.vendor_id is not None:
        yield run.c.owner_id.in_(select(user.c.id).where(user.c.vendor_id == query.vendor_id))


def _on(worker: str) -> Any:
    """Return the condition that a node holds or held a run, or a shard of it."""
    run, part = queue_tables.run, queue_tables.run.alias("part")
    parts = select(shard.c.parent_id).select_from(shard.join(part, part.c.test_id == shard.c.test_id))
    return or_(run.c.worker == worker, run.c.test_id.in_(parts.where(part.c.worker == worker)))


def _has_text(wanted: str) -> Any:
    """Return the condition of a search. Clouds are asked for by themselves: joined, every run would be first."""
    run, test, cloud = queue_tables.run, legacy_tables.test, legacy_tables.cloud
    there = test.join(cloud, cloud.c.id == test.c.cloud_id)
    clouds = select(test.c.id).select_from(there).where(func.lower(cloud.c.label).contains(wanted, autoescape=True))
    own = (func.lower(column).contains(wanted, autoescape=True) for column in (run.c.label, run.c.created_by))
    return or_(*own, run.c.test_id.in_(clouds))


def attempts_question() -> Any:
    """Return the query of attempts together with the state of their runs."""
    run, attempt = queue_tables.run, queue_tables.attempt
    joined = attempt.join(run, run.c.test_id == attempt.c.test_id)
    return (
        select(attempt, run.c.state.label("run_state"), run.c.attempt.label("current"))
        .select_from(joined)
        .order_by(attempt.c.test_id, attempt.c.attempt)
    )


def attempt_of(row: Row) -> Attempt:
    """Return the attempt in a row of :func:`attempts_question`."""
    return Attempt(
        key=AttemptKey(row["test_id"], row["attempt"]),
        is_current=row["attempt"] == row["current"],
        run_state=RunState(row["run_state"]),
        contested=row["contested_at"] > 0,
        **{
            name: row[name]
            for name in (
                "created_at",
                "submitted_at",
                "claimed_at",
                "heartbeat_at",
                "ended_at",
                "server",
                "handle",
                "worker",
                "outcome",
                "note",
            )
        },
    )


def spec_of(row: Row) -> RunSpec:
    """Return what a row of ``queue_run`` asks for."""
    testcases = Testcases.from_json(json.loads(row["testcases"])) if row["testcases"] else None
    names = ("tempest_version", "openstack_release", "concurrency", "timeout", "tag", "priority")
    values = {name: row[name] for name in names}
    values |= {"discover": row["discover"] or "", "shards": row["shards"] or 0}
    return RunSpec(plugins=json.loads(row["plugins"]), testcases=testcases, **values)


def run_of(row: Row) -> Run:
    names = (
        "test_id",
        "attempt",
        "created_at",
        "updated_at",
        "started_at",
        "ended_at",
        "cancel_asked_at",
        "reason",
        "message",
        "label",
        "created_by",
        "owner_id",
        "worker",
        "rerun_of",
        "kind",
        "revision",
    )
    return Run(
        state=RunState(row["state"]),
        spec=spec_of(row),
        cloud=cloud_of(row),
        progress=Progress.from_json(json.loads(row["progress"] or "{}")),
        counts=Counts(row["passed"], row["failed"], row["skipped"]),
        **{name: row[name] for name in names},
    )


def cloud_of(row: Row) -> Cloud:
    values: Mapping[str, Any] = {column.name: row[f"cloud_{column.name}"] for column in legacy_tables.cloud.c}
    return Cloud(**{name: value for name, value in values.items() if value is not None})


def visible_to(scope: AccessScope) -> Any:
    """Return the condition under which someone sees a row of ``queue_run``."""
    own = queue_tables.run.c.owner_id.in_(scope.owner_ids or (-1,))
    if scope.vendor_id is None:
        return own
    shared = select(account_tables.share.c.test_id).where(account_tables.share.c.vendor_id == scope.vendor_id)
    return or_(own, queue_tables.run.c.test_id.in_(shared))


def is_current(run: Row, key: AttemptKey) -> bool:
    return bool(run["attempt"] == key.attempt and not RunState(run["state"]).is_end)
