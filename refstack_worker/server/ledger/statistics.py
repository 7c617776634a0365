"""What metrics count: ended runs and attempts with their times, removed ones too, so that no counter ever falls."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.states import ENDS, RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.db.inserts import add_new
from refstack_worker.server.domain.runs import RUN, SPLIT
from refstack_worker.server.ledger.transactions import LedgerPart, Row

RUN_ENDS = ("passed", "tests-failed", "error", "cancelled")
"""How a run can end; ``error``: without a result."""
RUN_BOUNDS = (60, 300, 600, 1800, 3600, 7200, 4 * 3600, 28800, 86400)
WAIT_BOUNDS = (5, 15, 60, 300, 900, 3600, 4 * 3600, 86400)
"""Upper bounds in seconds of the histograms' buckets."""
_STATUSES = ("passed", "failed", "skipped")
_REMOVED = "totals of removed runs"
Sums = defaultdict[str, float]
"""Names that :func:`_totals` reads, to what was counted."""
_IS_REMOVED = queue_tables.setting.c.name == _REMOVED
_KEPT = select(queue_tables.setting.c.value).where(_IS_REMOVED)


@dataclass(frozen=True)
class Histogram:
    """A histogram: how many times there are, their sum, and how many are at most each bound."""

    count: float = 0
    sum: float = 0.0
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Totals:
    """Everything that was ever counted in this ledger."""

    runs: Mapping[str, float] = field(default_factory=dict)
    """End (:data:`RUN_ENDS`) to runs."""
    attempts: Mapping[str, float] = field(default_factory=dict)
    """Outcome (``lost``, ``released``, …) to attempts."""
    tests: Mapping[str, float] = field(default_factory=dict)
    run_times: Mapping[str, Histogram] = field(default_factory=dict)
    """End to the seconds from the last claim to the end."""
    waits: Histogram = field(default_factory=Histogram)
    """Seconds of each claimed attempt until a worker claimed it."""


class Statistics(LedgerPart):
    """Sums over the rows that are there, and over those that were removed."""

    def totals(self) -> Totals:
        """Return the counters as they stand."""
        with self.database.reading() as connection:
            found = _counted(connection)
            _add(found, _stored(connection.execute(_KEPT).scalar()))
        return _totals(found)

    def keep(self, connection: Connection, test_ids: Sequence[int]) -> None:
        """Remember what runs counted that are about to be removed, in the caller's transaction."""
        added = _counted(connection, test_ids)
        if not added:
            return
        now = {"changed_at": self.clock(), "changed_by": ""}
        add_new(connection, queue_tables.setting, {"name": _REMOVED, "value": "{}", **now})
        _add(added, _stored(connection.execute(_KEPT.with_for_update()).scalar()))
        values = {"value": json.dumps(added), **now}
        connection.execute(update(queue_tables.setting).where(_IS_REMOVED).values(values))

    def unsubmitted_seconds(self) -> float:
        """Return how long the oldest run has waited to be given to the queue; more than a moment means trouble."""
        attempt = queue_tables.attempt
        question = select(func.min(attempt.c.created_at)).where(
            attempt.c.is_open, attempt.c.submitted_at == 0, attempt.c.claimed_at == 0
        )
        with self.database.reading() as connection:
            since = connection.execute(question).scalar()
        return max(0.0, self.clock() - since) if since else 0.0


def _counted(connection: Connection, test_ids: Sequence[int] | None = None) -> Sums:
    """Return sums over rows. :param test_ids: of these runs; None: of all."""
    found: Sums = defaultdict(float)
    for row in connection.execute(_runs(test_ids)).mappings():
        _add(found, _of_runs(row))
    for row in connection.execute(_attempts(test_ids)).mappings():
        found[f"attempts {row['outcome']}"] += row["attempts"]
        _add(found, _of_times("wait", WAIT_BOUNDS, row))
    return found


def _of_runs(row: Row) -> dict[str, float]:
    sums = {f"tests {status}": row[status] for status in _STATUSES}
    return {f"runs {row['ending']}": row["runs"], **sums, **_of_times(f"run {row['ending']}", RUN_BOUNDS, row)}


def _of_times(name: str, bounds: Iterable[int], row: Row) -> dict[str, float]:
    buckets = {f"{name} {bound}": row[f"within_{bound}"] for bound in bounds}
    return {f"{name} count": row["timed"], f"{name} sum": row["seconds"] or 0.0, **buckets}


def _stored(value: str | None) -> dict[str, float]:
    found: dict[str, float] = json.loads(value) if value else {}
    return found


def _add(sums: Sums, more: Mapping[str, float]) -> None:
    for name, value in more.items():
        sums[name] += value


def _totals(found: Sums) -> Totals:
    def named(kind: str) -> dict[str, float]:
        return {name.removeprefix(kind): value for name, value in found.items() if name.startswith(kind)}

    return Totals(
        runs=named("runs "),
        attempts=named("attempts "),
        tests=named("tests "),
        run_times={ending: _times(found, f"run {ending}", RUN_BOUNDS) for ending in RUN_ENDS},
        waits=_times(found, "wait", WAIT_BOUNDS),
    )


def _times(found: Sums, name: str, bounds: Iterable[int]) -> Histogram:
    buckets = tuple(found[f"{name} {bound}"] for bound in bounds)
    return Histogram(found[f"{name} count"], found[f"{name} sum"], buckets)


def _runs(test_ids: Sequence[int] | None) -> Any:
    run = queue_tables.run.c
    ending = case(
        ((run.state == RunState.FINISHED.value) & (run.failed > 0), "tests-failed"),
        (run.state == RunState.FINISHED.value, "passed"),
        (run.state == RunState.FAILED.value, "error"),
        else_="cancelled",
    ).label("ending")
    sums = [func.sum(run[status]).label(status) for status in _STATUSES]
    times = _sums(run.ended_at - run.started_at, run.started_at > 0, RUN_BOUNDS)
    is_ended = run.state.in_([state.value for state in ENDS])
    question = select(ending, func.count().label("runs"), *sums, *times).where(is_ended, run.kind.in_((RUN, SPLIT)))
    return _narrowed(question, run.test_id, test_ids).group_by(ending)


def _attempts(test_ids: Sequence[int] | None) -> Any:
    attempt = queue_tables.attempt.c
    times = _sums(attempt.claimed_at - attempt.created_at, attempt.claimed_at > 0, WAIT_BOUNDS)
    question = select(attempt.outcome, func.count().label("attempts"), *times).where(attempt.ended_at > 0)
    return _narrowed(question, attempt.test_id, test_ids).group_by(attempt.outcome)


def _narrowed(question: Any, column: Any, test_ids: Sequence[int] | None) -> Any:
    return question if test_ids is None else question.where(column.in_(test_ids))


def _sums(took: Any, is_known: Any, bounds: Iterable[int]) -> list[Any]:
    """Return the columns of a histogram. A clock that was set back makes no negative time."""
    within = (func.sum(case((is_known & (took <= bound), 1), else_=0)).label(f"within_{bound}") for bound in bounds)
    known = func.sum(case((is_known, 1), else_=0)).label("timed")
    return [known, func.sum(case((is_known & (took > 0), took), else_=0.0)).label("seconds"), *within]
