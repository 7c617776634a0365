"""What happens and subscribers may want to know. Recorded once, in the transaction in which it happens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import notify_tables, queue_tables
from refstack_worker.server.db.inserts import add_new
from refstack_worker.server.domain.attempts import AttemptKey
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.notifications import EventKind
from refstack_worker.server.domain.runs import SHARD, SPLIT
from refstack_worker.server.domain.schedules import Schedule
from refstack_worker.server.ledger.transactions import LedgerPart

MAX_NODE_AGE = 86400.0
"""Seconds after which a silent node is old news: the monitor was down, or is new."""
_NO_FAILURE = '%"failed": 0,%'
"""How the progress of an attempt without a failed test is stored."""


class Events(LedgerPart):
    """What the monitor notices; the end of a run records itself (``Transactions.move``)."""

    def find_failing(self, limit: int = 500) -> int:
        """Record the first failed test of each run under way, and return how many runs had one."""
        if not self._is_wanted(EventKind.RUN_FAILING):
            return 0
        with self.database.reading() as connection:
            found = connection.execute(_failing().limit(limit)).scalars().all()
        return sum(self._add_of_run(test_id, EventKind.RUN_FAILING, "a test has failed") for test_id in found)

    def waits_in_vain(self, key: AttemptKey, text: str) -> bool:
        """Record that no node takes a run; return False if that was recorded before."""
        return self._add_of_run(key.test_id, EventKind.RUN_WAITING, text)

    def node_lost(self, node: Node) -> bool:
        """Record that a node has stopped reporting; return False if that was recorded before."""
        subject = f"{node.seen_at:.0f} {node.name}"[:200]
        text = f"{node.name} has not reported for {self.clock() - node.seen_at:.0f} s"
        with self.database.writing() as connection:
            return add_new(connection, notify_tables.event, self._row(EventKind.NODE_LOST, subject, text))

    def schedule_skipped(self, due: Schedule, problem: str) -> bool:
        """Record that a schedule started no run; return False if that was recorded before."""
        row = self._row(EventKind.SCHEDULE_SKIPPED, f"{due.id} {due.next_at:.0f}", problem)
        with self.database.writing() as connection:
            return add_new(connection, notify_tables.event, row)

    def _is_wanted(self, kind: EventKind) -> bool:
        wanted = notify_tables.subscription.c
        question = select(wanted.id).where(wanted.kinds.contains(kind.value), wanted.paused_at == 0).limit(1)
        with self.database.reading() as connection:
            return connection.execute(question).first() is not None

    def _add_of_run(self, test_id: int, kind: EventKind, text: str) -> bool:
        row = {**self._row(kind, str(test_id), text), "test_id": test_id}
        with self.database.writing() as connection:
            return add_new(connection, notify_tables.event, row)

    def _row(self, kind: EventKind, subject: str, text: str) -> dict[str, Any]:
        return {"kind": kind.value, "subject": subject, "at": self.clock(), "text": clean_line(text), "is_open": True}


def _failing() -> Any:
    run, attempt, event = queue_tables.run, queue_tables.attempt, notify_tables.event
    is_current = (attempt.c.test_id == run.c.test_id) & (attempt.c.attempt == run.c.attempt)
    is_known = (event.c.kind == EventKind.RUN_FAILING.value) & (event.c.test_id == run.c.test_id)
    joined = run.join(attempt, is_current).outerjoin(event, is_known)
    return (
        select(run.c.test_id)
        .select_from(joined)
        .where(run.c.state.in_((RunState.RUNNING.value, RunState.POSTING.value)))
        .where(attempt.c.is_open | (run.c.kind == SPLIT), run.c.kind != SHARD)
        .where(attempt.c.progress.is_not(None), attempt.c.progress.not_like(_NO_FAILURE), event.c.id.is_(None))
        .order_by(run.c.test_id)
    )
