"""Which runs are removed, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy.engine import Connection

from refstack_worker.errors import StateError
from refstack_worker.server.db import account_tables, guideline_tables, legacy_tables, notify_tables, queue_tables
from refstack_worker.server.db.operator_tables import pin
from refstack_worker.server.db.shard_tables import shard
from refstack_worker.server.domain.runs import SHARD
from refstack_worker.server.ledger.statistics import Statistics
from refstack_worker.server.ledger.transactions import LedgerPart, Transactions

_PART = queue_tables.run.alias("part")
PRUNED_AT_ONCE = 50
"""Runs that one transaction removes: with 2,000 tests each that is a fraction of a second for other writers."""


class Retention(LedgerPart):
    """Remove runs and all that is known about them."""

    def __init__(self, transactions: Transactions, statistics: Statistics) -> None:
        super().__init__(transactions)
        self._statistics = statistics

    def delete(self, test_id: int) -> None:
        """Remove a run and all that is known of it.

        :raises NotFoundError: no such id.
        :raises StateError: it has not ended.
        """
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, test_id)
            if not run["ended_at"]:
                raise StateError(f"run {test_id} has not ended; cancel it first")
            if connection.execute(select(pin.c.test_id).where(pin.c.test_id == test_id)).first() is not None:
                raise StateError(f"run {test_id} is pinned; unpin it first")
            if connection.execute(select(_PART.c.test_id).where(_is_open_shard_of(test_id))).first() is not None:
                raise StateError(f"shards of run {test_id} are still being stopped; try again in a minute")
            self._remove(connection, [test_id])

    def prune(self, before: float, limit: int = PRUNED_AT_ONCE) -> int:
        """Remove runs that ended before a time, the oldest first, with everything that is known of them.

        So go results that belong to no run and were accepted before that time. Several at once do not wait for each
        other.

        :param before: seconds since 1970.
        :param limit: of runs and results without one that one transaction removes.
        :returns: how many were removed; call it until that is less than the limit.
        """
        gone = 0
        with self.database.writing() as connection:
            for question in _prunable(before):
                first = question.limit(limit - gone).with_for_update(skip_locked=True)
                found = connection.execute(first).scalars().all()
                self._remove(connection, found)
                gone += len(found)
        return gone

    def count(self, before: float) -> int:
        """Return how many runs, and results without one, :meth:`prune` would remove."""
        with self.database.reading() as connection:
            counts = (select(func.count()).select_from(question.subquery()) for question in _prunable(before))
            return sum(int(connection.execute(count).scalar() or 0) for count in counts)

    def _remove(self, connection: Connection, test_ids: Sequence[int]) -> None:
        """Remove runs, with their shards."""
        parts = select(shard.c.test_id).where(shard.c.parent_id.in_(test_ids), shard.c.test_id.is_not(None))
        found = [*test_ids, *connection.execute(parts).scalars().all()]
        self._statistics.keep(connection, found)
        connection.execute(delete(shard).where(shard.c.parent_id.in_(test_ids)))
        for test_id in found:
            self._delete(connection, test_id)

    def _delete(self, connection: Connection, test_id: int) -> None:
        # a result hangs on the test, not on the run; so do the messages, in RefStack's own table
        tables = (
            account_tables.share,
            pin,
            notify_tables.delivery,
            notify_tables.event,
            guideline_tables.run_guideline,
            queue_tables.console,
            queue_tables.result_test,
            queue_tables.result_chunk,
            queue_tables.log_chunk,
            queue_tables.result,
        )
        for table in (*tables, queue_tables.attempt, queue_tables.run, legacy_tables.test_status):
            connection.execute(delete(table).where(table.c.test_id == test_id))
        self.transactions.keep_id(connection, test_id)
        connection.execute(delete(legacy_tables.test).where(legacy_tables.test.c.id == test_id))


def _is_open_shard_of(test_id: Any) -> Any:
    """Return the condition that finds the runs of shards that have not ended."""
    parts = select(shard.c.test_id).where(shard.c.parent_id == test_id, shard.c.test_id.is_not(None))
    return _PART.c.test_id.in_(parts) & (_PART.c.ended_at == 0)


def _prunable(before: float) -> tuple[Any, Any]:
    """Return what finds the ids of runs that ended before a time, and of results without a run from before it."""
    run, result = queue_tables.run.c, queue_tables.result.c
    pinned = select(pin.c.test_id).where(pin.c.test_id == run.test_id)
    ended = select(run.test_id).where(run.ended_at > 0, run.ended_at < before, ~exists(pinned.correlate_except(pin)))
    # shards go with their run, when none of them goes on
    ended = ended.where(run.kind != SHARD, ~exists(select(_PART.c.test_id).where(_is_open_shard_of(run.test_id))))
    # an attempt of a run is 1 or more
    alone = select(result.test_id).where(result.attempt == 0, result.accepted_at < before)
    return ended.order_by(run.test_id), alone.order_by(result.test_id)
