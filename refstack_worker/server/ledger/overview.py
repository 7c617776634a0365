"""What lists of runs show beside each run, and how one test went in the last runs of a cloud."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from refstack_worker.server.db import account_tables, guideline_tables, legacy_tables, queue_tables, verdict_tables
from refstack_worker.server.db.operator_tables import pin
from refstack_worker.server.db.shard_tables import is_no_shard
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.ledger.transactions import LedgerPart, Row

MAX_FLAKY = 500
"""Failed tests that are looked up in former runs."""
FLAKY_CHANGES = 2
"""Changes between passed and failed, in the last runs of a cloud, that make a test flaky."""
FLAKY, NEW = "flaky", "new failure"

_OWNER = (
    select(legacy_tables.user.c.name.label("user"), legacy_tables.vendor.c.vendor_name)
    .select_from(
        legacy_tables.user.outerjoin(legacy_tables.vendor, legacy_tables.vendor.c.id == legacy_tables.user.c.vendor_id)
    )
    .where(legacy_tables.user.c.id == bindparam("of_owner"))
)


@dataclass(frozen=True)
class FrozenVerdict:
    passed: bool
    count: int
    """Required tests that passed."""
    total: int


@dataclass(frozen=True)
class RunFacts:
    """What a list shows beside a run."""

    program: str = ""
    verdict: FrozenVerdict | None = None
    owner: str = ""
    """User and vendor."""
    vendor: str = ""
    is_pinned: bool = False
    """Kept however old it gets."""


@dataclass(frozen=True)
class PastOutcome:
    """How a test went in one run."""

    test_id: int
    status: str
    """Empty: it did not run."""


class Overview(LedgerPart):
    def facts(self, test_ids: Sequence[int]) -> dict[int, RunFacts]:
        """Return what is known of these runs, in one query."""
        with self.database.reading() as connection:
            rows = connection.execute(_facts_question(), {"of_runs": list(test_ids)}).mappings().all()
        return {row["test_id"]: _facts(row) for row in rows}

    def facts_of_new(self, owner_id: int | None) -> RunFacts:
        """Return what is known of a run that was just recorded and is judged by no guideline: whose it is."""
        if owner_id is None:
            return RunFacts()
        with self.database.reading() as connection:
            row = connection.execute(_OWNER, {"of_owner": owner_id}).mappings().first()
        return RunFacts(owner=_owner(row), vendor=row["vendor_name"] or "") if row else RunFacts()

    def outcomes(self, test_id: int, cloud_id: int, test: TestResult, limit: int = 10) -> list[PastOutcome]:
        """Return how a test went in the last runs of a cloud up to this one, the newest first."""
        one = queue_tables.result_test
        runs = _last_runs(test_id, cloud_id, limit)
        same = (one.c.uuid == test.uuid) & (one.c.name == test.name)
        with self.database.reading() as connection:
            ids = connection.execute(runs).scalars().all()
            found = select(one.c.test_id, one.c.status).where(one.c.test_id.in_(ids), same)
            status = {row["test_id"]: row["status"] for row in connection.execute(found).mappings().all()}
        return [PastOutcome(number, status.get(number, "")) for number in ids]

    def marks(self, test_id: int, cloud_id: int, failed: Sequence[TestResult], limit: int = 10) -> dict[str, str]:
        """Return which failed tests are flaky in the last runs of a cloud, or passed in the run before, by name."""
        one = queue_tables.result_test
        names = [test.name for test in failed[:MAX_FLAKY]]
        history: dict[str, list[str]] = {}
        with self.database.reading() as connection:
            ids = connection.execute(_last_runs(test_id, cloud_id, limit)).scalars().all()
            found = select(one.c.name, one.c.status).where(one.c.test_id.in_(ids), one.c.name.in_(names))
            for name, status in connection.execute(found.order_by(one.c.test_id)):
                history.setdefault(name, []).append(status)
        found_marks = {name: _mark(statuses) for name, statuses in history.items()}
        return {name: mark for name, mark in found_marks.items() if mark}

    def active(self) -> dict[int, tuple[int, float]]:
        """Return for each user the number of valid tokens and when one was last used."""
        token, now = account_tables.token, self.clock()
        question = select(token.c.user_id, token.c.last_used_at, token.c.expires_at, token.c.revoked_at)
        found: dict[int, tuple[int, float]] = {}
        with self.database.reading() as connection:
            for row in connection.execute(question.where(token.c.user_id.is_not(None))).mappings():
                count, last = found.get(row["user_id"], (0, 0.0))
                is_valid = not row["revoked_at"] and (not row["expires_at"] or row["expires_at"] > now)
                found[row["user_id"]] = (count + is_valid, max(last, row["last_used_at"]))
        return found


def is_flaky(statuses: Iterable[str]) -> bool:
    """Return whether a test went back and forth: one that passed and fails since, or the other way round, is not flaky.

    :param statuses: of one run after the other.
    """
    ended = [status for status in statuses if status in ("passed", "failed")]
    return sum(before != after for before, after in zip(ended, ended[1:])) >= FLAKY_CHANGES


def _mark(statuses: Sequence[str]) -> str:
    return FLAKY if is_flaky(statuses) else NEW if statuses[-2:] == ["passed", "failed"] else ""


def _last_runs(test_id: int, cloud_id: int, limit: int) -> Any:
    tests, result = legacy_tables.test, queue_tables.result
    joined = result.join(tests, tests.c.id == result.c.test_id)
    question = select(result.c.test_id).select_from(joined)
    question = question.where(tests.c.cloud_id == cloud_id, result.c.test_id <= test_id, is_no_shard(result.c.test_id))
    return question.order_by(result.c.test_id.desc()).limit(limit)


@cache  # every new run and every list asks it
def _facts_question() -> Any:
    run, chosen, frozen = queue_tables.run, guideline_tables.run_guideline, verdict_tables.verdict
    guideline, user, vendor = guideline_tables.guideline, legacy_tables.user, legacy_tables.vendor
    joined = (
        run.outerjoin(chosen, chosen.c.test_id == run.c.test_id)
        .outerjoin(guideline, guideline.c.id == chosen.c.guideline_id)
        .outerjoin(frozen, frozen.c.test_id == run.c.test_id)
        .outerjoin(user, user.c.id == run.c.owner_id)
        .outerjoin(vendor, vendor.c.id == user.c.vendor_id)
    )
    joined = joined.outerjoin(pin, pin.c.test_id == run.c.test_id)
    columns = (run.c.test_id, pin.c.pinned_at, chosen.c.program, guideline.c.name.label("guideline"))
    short = (frozen.c.is_passed, frozen.c.passed, frozen.c.total)
    question: Any = select(*columns, *short, user.c.name.label("user"), vendor.c.vendor_name).select_from(joined)
    return question.where(run.c.test_id.in_(bindparam("of_runs", expanding=True)))


def _facts(row: Row) -> RunFacts:
    program = " ".join(part for part in (row["program"], row["guideline"]) if part)
    return RunFacts(program, _verdict(row), _owner(row), row["vendor_name"] or "", row["pinned_at"] is not None)


def _owner(row: Row) -> str:
    return ", ".join(part for part in (row["user"], row["vendor_name"]) if part)


def _verdict(row: Row) -> FrozenVerdict | None:
    if row["is_passed"] is None:
        return None
    return FrozenVerdict(row["is_passed"], row["passed"], row["total"])
