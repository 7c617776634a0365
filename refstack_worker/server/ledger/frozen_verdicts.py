"""Verdicts as facts in the database: written when a result is accepted, and never changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from refstack_worker.contract.cloud_needs import quota_message
from refstack_worker.contract.outcomes import Counts
from refstack_worker.errors import RefstackError
from refstack_worker.server.db import guideline_tables, legacy_tables, queue_tables, verdict_tables
from refstack_worker.server.domain import guideline_file, verdict, verdict_facts
from refstack_worker.server.domain.combined import combine
from refstack_worker.server.domain.guidelines import Choice, Guideline, StoredGuideline
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.runs import IMPORTED
from refstack_worker.server.domain.tested_cloud import cloud_in
from refstack_worker.server.domain.verdict import Verdict
from refstack_worker.server.domain.verdict_facts import ResultFacts
from refstack_worker.server.ledger.transactions import Row

LOG = logging.getLogger(__name__)
TESTS_AT_ONCE = 1000
MAX_REASON = 500
"""Characters of a test's reason that are kept while a result is judged."""
GUIDELINE_COLUMNS = [column for column in guideline_tables.guideline.c if column.name != "text"]


@dataclass(frozen=True)
class Frozen:
    """A verdict with the document that holds it."""

    verdict: Verdict
    document: Mapping[str, Any]


def freeze(connection: Connection, test_id: int, tests: Iterable[TestResult], now: float) -> Frozen | None:
    """Judge a result that was just stored by what its run was made by; None: by nothing.

    A guideline that cannot be read any more must not cost the result: there is no verdict then.
    """
    choice = choice_of(connection, test_id)
    if choice is None:
        return None
    try:
        frozen = judged(connection, test_id, choice, tests, now)
    except RefstackError as error:
        LOG.error("run %d: no verdict: %s", test_id, error)
        return None
    passed, total = frozen.verdict.count()
    row = {
        "test_id": test_id,
        "guideline_id": choice.guideline_id,
        "is_passed": frozen.verdict.passed,
        "passed": passed,
        "total": total,
        "document": json.dumps(frozen.document),
        "digest": verdict_facts.digest(frozen.document),
        "frozen_at": now,
    }
    connection.execute(insert(verdict_tables.verdict).values(row))
    return frozen


def frozen(connection: Connection, test_id: int) -> Frozen | None:
    """Return the verdict that was frozen with a result; None: there is none."""
    table = verdict_tables.verdict
    text = connection.execute(select(table.c.document).where(table.c.test_id == test_id)).scalar()
    if text is None:
        return None
    document = json.loads(text)
    return Frozen(verdict_facts.verdict_of(document), document)


def judged(connection: Connection, test_id: int, choice: Choice, tests: Iterable[TestResult], now: float) -> Frozen:
    """Judge a stored result. :raises RefstackError: the guideline cannot be read, or has no such program."""
    stored, guideline = guideline_of(connection, choice.guideline_id)
    facts = facts_of(connection, test_id)
    before, why_not = _results_before(connection, choice, facts)
    earlier = ((one.test_id, _shortened(tests_of(connection, one.test_id))) for one in before)
    together = combine([*earlier, (test_id, _shortened(tests))])
    found = verdict.judge(guideline, choice.program, together.tests, choice.left_out, together.history)
    if before:
        facts = replace(facts, combined=tuple(one.as_combined() for one in (*before, facts)))
    runs = tuple(one.test_id for one in facts.combined)
    found = replace(verdict.by_guideline(found, stored), combined=runs, not_combined=why_not)
    return Frozen(found, verdict_facts.document(facts, stored, found, now))


def tests_of(connection: Connection, test_id: int) -> Iterator[TestResult]:
    """Yield the tests of a stored result in the order in which they ended."""
    table = queue_tables.result_test
    columns = [column for column in table.c if column.name != "test_id"]
    question = select(*columns).where(table.c.test_id == test_id).order_by(table.c.position).limit(TESTS_AT_ONCE)
    after = 0
    while rows := connection.execute(question.where(table.c.position > after)).mappings().all():
        for row in rows:
            yield TestResult(**row)
        after = rows[-1]["position"]


def _shortened(tests: Iterable[TestResult]) -> Iterator[TestResult]:
    """Yield tests with what a verdict needs of their reasons: many long ones would fill the memory."""
    for test in tests:
        reason = test.reason
        if len(reason) > MAX_REASON:
            reason = f"{quota_message(reason)[:MAX_REASON]}\n{reason[-MAX_REASON:]}"
        yield replace(test, reason=reason)


def _results_before(connection: Connection, choice: Choice, now: ResultFacts) -> tuple[list[ResultFacts], str]:
    """Return the results that a rerun continues, the oldest first, and why an older one is not among them.

    One that is about another cloud says nothing of this one: it ends the search.
    """
    found: list[ResultFacts] = []
    table, known = queue_tables.result, set()
    asked: Choice | None = choice
    while asked is not None and asked.combines is not None and asked.combines not in known:
        known.add(asked.combines)
        if connection.execute(select(table.c.test_id).where(table.c.test_id == asked.combines)).scalar() is not None:
            facts = facts_of(connection, asked.combines)
            if difference := facts.tested.difference(now.tested):
                return found, f"The result of run {facts.test_id} is not included: {difference}."
            found.insert(0, facts)
        asked = choice_of(connection, asked.combines)
    return found, ""


def choice_of(connection: Connection, test_id: int) -> Choice | None:
    """Return by what a run is judged."""
    table = guideline_tables.run_guideline
    row = connection.execute(select(table).where(table.c.test_id == test_id)).mappings().first()
    if row is None:
        return None
    return Choice(row["guideline_id"], row["program"], row["advisory"], json.loads(row["left_out"]), row["combines"])


def guideline_of(connection: Connection, guideline_id: int) -> tuple[StoredGuideline, Guideline]:
    """Return a guideline, also an archived one. :raises UsageError: its text cannot be read."""
    table = guideline_tables.guideline
    row = connection.execute(select(table).where(table.c.id == guideline_id)).mappings().one()
    return stored_guideline(row), guideline_file.parse(row["text"], name=row["name"])


def stored_guideline(row: Row) -> StoredGuideline:
    """Return what a row says of a guideline."""
    return StoredGuideline(**{column.name: row[column.name] for column in GUIDELINE_COLUMNS})


def facts_of(connection: Connection, test_id: int) -> ResultFacts:
    """Return what a verdict rests on, beside guideline and tests."""
    run, attempt, result = queue_tables.run, queue_tables.attempt, queue_tables.result
    stored = connection.execute(select(result).where(result.c.test_id == test_id)).mappings().one()
    known = dict(connection.execute(select(run).where(run.c.test_id == test_id)).mappings().first() or {})
    tried = select(attempt).where(attempt.c.test_id == test_id, attempt.c.attempt == stored["attempt"])
    how = dict(connection.execute(tried).mappings().first() or {})
    cloud = cloud_of(connection, test_id)
    tested = cloud_in(json.loads(stored["summary"] or "{}"), is_imported=known.get("kind") == IMPORTED)
    return ResultFacts(
        test_id=test_id,
        attempt=stored["attempt"],
        kind=known.get("kind", "run"),
        digest=stored["digest"],
        counts=Counts(stored["passed"], stored["failed"], stored["skipped"]),
        seconds=stored["seconds"],
        started_at=known.get("started_at", 0.0),
        # when a verdict is frozen, its run is about to end
        ended_at=known.get("ended_at") or stored["accepted_at"],
        accepted_at=stored["accepted_at"],
        tempest_version=how.get("tempest_version") or known.get("tempest_version", ""),
        openstack_release=known.get("openstack_release", ""),
        plugins=json.loads(known.get("plugins") or "{}"),
        lock_digest=how.get("lock_digest", ""),
        node="" if known.get("kind") == IMPORTED else how.get("worker", ""),
        software=how.get("software", ""),
        cloud=cloud["label"] or "",
        cpid=tested.cpid_or_of(cloud["endpoint_v3"] or ""),
        tested=tested,
    )


def cloud_of(connection: Connection, test_id: int) -> Mapping[str, Any]:
    """Return label and Keystone URL of the saved cloud of a test; empty ones if it has none."""
    test, cloud = legacy_tables.test, legacy_tables.cloud
    joined = test.join(cloud, cloud.c.id == test.c.cloud_id)
    question = select(cloud.c.label, cloud.c.endpoint_v3).select_from(joined).where(test.c.id == test_id)
    row = connection.execute(question).mappings().first()
    return dict(row) if row else {"label": "", "endpoint_v3": ""}
