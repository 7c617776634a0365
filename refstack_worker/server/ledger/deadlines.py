"""The ledger, as the monitor sees it: which workers are silent, and which runs take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, or_, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.states import HELD, RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import (
    Attempt,
    AttemptKey,
    Overdue,
    OverdueReason,
    Release,
)
from refstack_worker.server.domain.runs import SHARD
from refstack_worker.server.ledger.disabled import is_disabled
from refstack_worker.server.ledger.queue_state import queue_is_paused
from refstack_worker.server.ledger.run_rows import (
    attempt_of,
    attempts_question,
    is_current,
)
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Move,
    Row,
    is_attempt,
    key_of,
)

CONTESTED_BEATS = 3
"""Missed heartbeats after which a holder is given up whose job gearmand has handed out again."""
FUTURE_SECONDS = 180.0
"""Times that are further ahead are of a clock that was set back since; a lease ends a minute ahead."""
_OPEN = [state.value for state in RunState if not state.is_end]
_WORKING = [state.value for state in HELD]
_HAS_DISABLED_OWNER = (
    (queue_tables.run.c.state == RunState.QUEUED.value)
    # those of a run that has started go on with it
    & (queue_tables.run.c.kind != SHARD)
    & is_disabled(queue_tables.run.c.owner_id)
)
"""Of runs that wait."""


class Deadlines(LedgerPart):
    """What the monitor looks for: silent workers and overdue runs."""

    def silent(self, now: float | None = None) -> list[Attempt]:
        """Return held attempts whose worker has been silent for too long."""
        question = attempts_question().where(self._is_silent(self.clock() if now is None else now))
        with self.database.reading() as connection:
            return [attempt_of(row) for row in connection.execute(question).mappings().all()]

    def lose_silent(self, key: AttemptKey, message: str, now: float | None = None) -> bool:
        """Lock an attempt and give it up as lost if it is still silent."""
        moment = self.clock() if now is None else now
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, key.test_id)
            question = attempts_question().where(is_attempt(key), self._is_silent(moment))
            if connection.execute(question).first() is None:
                return False
            self.transactions.requeue(connection, run, Release.LOST, message)
            return True

    def overdue(self, now: float | None = None) -> list[Overdue]:
        """Return runs that have waited, run, or been cancelling for too long, or wait though the owner is disabled."""
        moment = self.clock() if now is None else now
        with self.database.reading() as connection:
            is_overdue = self._is_overdue(moment, queue_is_paused(connection))
            columns = (queue_tables.run, _HAS_DISABLED_OWNER.label("has_disabled_owner"))
            question = select(*columns).where(is_overdue).order_by(queue_tables.run.c.test_id)
            rows = connection.execute(question).mappings().all()
        return [self._overdue(row) for row in rows]

    def expire(self, overdue: Overdue, now: float | None = None) -> bool:
        """End an overdue run, if it is still so; return whether it was."""
        moment = self.clock() if now is None else now
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, overdue.key.test_id)
            still = select(queue_tables.run.c.test_id).where(
                queue_tables.run.c.test_id == overdue.key.test_id, self._is_overdue(moment, queue_is_paused(connection))
            )
            if not is_current(run, overdue.key) or connection.execute(still).first() is None:
                return False
            is_cancelled = overdue.reason in (OverdueReason.CANCEL, OverdueReason.OWNER)
            state = RunState.CANCELLED if is_cancelled else RunState.FAILED
            self.transactions.move(
                connection, run, Move(state, overdue.message, overdue.reason.value, overdue.reason.value)
            )
            return True

    def pull_back(self) -> int:
        """Set times in the future to now, and return how many rows had some.

        They are left from a clock that was ahead: until it had caught up, no one would look at what was leased,
        submitted or queued then.
        """
        now = self.clock()
        with self.database.writing() as connection:
            runs = self._pull_back(connection, queue_tables.run, ("queued_at", "started_at", "cancel_asked_at"), now)
        with self.database.writing() as connection:
            return runs + self._pull_back(connection, queue_tables.attempt, ("leased_until", "submitted_at"), now)

    def _pull_back(self, connection: Connection, table: Any, names: Sequence[str], now: float) -> int:
        """Change the rows of what has not ended."""
        is_open = table.c.state.in_(_OPEN) if table is queue_tables.run else table.c.is_open
        is_odd = or_(*(table.c[name] > now + FUTURE_SECONDS for name in names))
        values = {name: case((table.c[name] > now, now), else_=table.c[name]) for name in names}
        return int(connection.execute(update(table).where(is_open, is_odd).values(values)).rowcount)

    def _is_silent(self, now: float) -> Any:
        run, attempt = queue_tables.run, queue_tables.attempt
        rules = self.settings.rules
        limit = now - rules.heartbeat_limit
        soon = now - CONTESTED_BEATS * rules.heartbeat_seconds
        is_contested = (attempt.c.contested_at > 0) & (attempt.c.heartbeat_at < soon)
        is_held = attempt.c.is_open & (attempt.c.claimed_at > 0) & run.c.state.in_(_WORKING)
        # heard in times to come: the clock was set back, and who lives is heard again by it
        is_odd = attempt.c.heartbeat_at > now + rules.heartbeat_limit
        return is_held & ((attempt.c.heartbeat_at < limit) | is_odd | is_contested)

    def _is_overdue(self, now: float, is_paused: bool) -> Any:
        run, rules = queue_tables.run, self.settings.rules
        is_cancelling = run.c.state == RunState.CANCELLING.value
        found = is_cancelling & (run.c.cancel_asked_at < now - rules.cancel_limit)
        found |= run.c.state.in_(_WORKING) & (run.c.started_at + run.c.timeout < now - rules.run_grace)
        found |= _HAS_DISABLED_OWNER
        if rules.queue_timeout and not is_paused:
            found |= (run.c.state == RunState.QUEUED.value) & (run.c.queued_at < now - rules.queue_timeout)
        return found

    def _overdue(self, row: Row) -> Overdue:
        rules = self.settings.rules
        if row["has_disabled_owner"]:
            return Overdue(key_of(row), OverdueReason.OWNER, "its owner is disabled")
        if row["state"] == RunState.QUEUED.value:
            what = f"Tempest {row['tempest_version']}" if row["tempest_version"] else row["openstack_release"]
            tag = f" with the tag {row['tag']}" if row["tag"] else ""
            said = f"no worker took it within {rules.queue_timeout:g} s; is there a node that serves {what}{tag}?"
            return Overdue(key_of(row), OverdueReason.QUEUE, said)
        if row["state"] == RunState.CANCELLING.value:
            said = f"{row['worker']} did not confirm the cancel within {rules.cancel_limit:g} s"
            return Overdue(key_of(row), OverdueReason.CANCEL, said)
        return Overdue(
            key_of(row),
            OverdueReason.RUN,
            f"still running {rules.run_grace:g} s after its time limit of {row['timeout']} s",
        )
