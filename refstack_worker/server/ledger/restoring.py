"""After a backup was restored: the ledger is older than what gearmand and the nodes know, and nothing may run twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.states import RunState
from refstack_worker.server.db import (
    account_tables,
    copy_rows,
    legacy_tables,
    node_key_tables,
    notify_tables,
    queue_tables,
    schedule_tables,
)
from refstack_worker.server.domain.runs import SPLIT
from refstack_worker.server.domain.schedules import Times
from refstack_worker.server.ledger.transactions import LAST_ID, MAX_ATTEMPTS, LedgerPart, Move, Row, key_of

IDS_AHEAD = 10_000
"""Number of ids to skip: the lost database may have used them after the backup."""

ATTEMPTS_AHEAD = 100
"""Attempts of a run that the lost ledger may have made after the backup; none of their numbers is used again."""

REASON = "restored from a backup"
MAY_HAVE_RUN = f"{REASON}: not started again, because it may have run after the backup"
MAY_BE_SENT = f"{REASON}: not sent again, because it may have been sent after the backup"


@dataclass(frozen=True)
class Settled:
    """What was found in the restored ledger."""

    queued: int
    """Runs that waited; each gets an attempt of which the old queue knows nothing."""
    held: int
    """Runs that a node had; they go on if it still has them, and are not started again if not."""
    schedules: int
    """Schedules that were due since the backup; they go on at their next time."""
    messages: int
    """Messages that waited to be sent; they are not, for they may have been sent since the backup."""


class Restoring(LedgerPart):
    """Makes a restored ledger safe beside a queue and nodes that went on without it."""

    def settle(self) -> Settled:
        """Give waiting runs a fresh attempt, give claimed ones time to report, and skip ids that were used.

        A job of the old queue carries the secret of an attempt that is over now, or of none: who takes it is refused
        when claiming. Browsers are signed out, and secrets that work once end, for they may have been used, or taken
        back, after the backup. Schedules that were due since may have started their runs, and messages may have gone.
        """
        with self.database.writing() as connection:
            schedules, messages = self._skip_due(connection), self._close_messages(connection)
            table = queue_tables.run
            rows = connection.execute(select(table).where(table.c.state.in_(_OPEN)).with_for_update()).mappings().all()
            # what is split has no job: what becomes of it follows from its shards
            rows = [row for row in rows if row["kind"] != SPLIT]
            waiting = [row for row in rows if row["state"] == RunState.QUEUED.value]
            held = [row for row in rows if row["state"] != RunState.QUEUED.value]
            for row in waiting:
                self._start_over(connection, row)
            for row in held:
                self._wait_for(connection, row)
            self._skip_ids(connection)
            for one in (account_tables.session, account_tables.invitation, node_key_tables.enrolment):
                connection.execute(delete(one))
        return Settled(len(waiting), len(held), schedules, messages)

    def _start_over(self, connection: Connection, run: Row) -> None:
        number = run["attempt"] + ATTEMPTS_AHEAD
        if number > MAX_ATTEMPTS:
            self.transactions.move(connection, run, Move(RunState.FAILED, REASON, "attempts"))
            return
        self.transactions.end_attempt(connection, key_of(run), "queue-lost", REASON)
        self.transactions.add_attempt(connection, run, number)
        values = {"attempt": number, "message": REASON, "updated_at": self.clock(), "queued_at": self.clock()}
        connection.execute(update(queue_tables.run).where(_is(run)).values(values))

    def _wait_for(self, connection: Connection, run: Row) -> None:
        """Let the node report as if it had just been heard; if it stays silent the run ends and is not started again.

        It may have ended after the backup, its result lost with the database: whether to run it again is its owner's
        to decide.
        """
        attempt = queue_tables.attempt
        is_open = (attempt.c.test_id == run["test_id"]) & attempt.c.is_open
        connection.execute(update(attempt).where(is_open).values(heartbeat_at=self.clock()))
        lost = max(run["lost"], self.settings.rules.attempt_limit - 1)
        values = {"lost": lost, "message": f"{REASON}; waiting for {run['worker'] or 'its node'}"}
        connection.execute(update(queue_tables.run).where(_is(run)).values(values))

    def _skip_due(self, connection: Connection) -> int:
        """Let schedules go on at their next time, and return how many were due since the backup."""
        now, table = self.clock(), schedule_tables.schedule
        due = connection.execute(select(table).where(table.c.next_at <= now)).mappings().all()
        for row in due:
            times = Times(row["minute"], tuple(row["days"].split()))
            values = {"next_at": times.after(now), "leased_until": 0.0, "last_at": row["next_at"]}
            connection.execute(update(table).where(table.c.id == row["id"]).values(**values, problem=MAY_HAVE_RUN))
        return len(due)

    def _close_messages(self, connection: Connection) -> int:
        """Send none of the messages that waited, and make none of older events; return how many messages waited."""
        events, messages = notify_tables.event, notify_tables.delivery
        connection.execute(update(events).where(events.c.is_open).values(is_open=False))
        closed = {"is_open": False, "leased_until": 0.0, "ended_at": self.clock(), "error": MAY_BE_SENT}
        return connection.execute(update(messages).where(messages.c.is_open).values(closed)).rowcount

    def _skip_ids(self, connection: Connection) -> None:
        copy_rows.advance_ids(connection, IDS_AHEAD)
        if not self.database.is_sqlite:
            return
        newest = int(connection.execute(select(func.max(legacy_tables.test.c.id))).scalar() or 0)
        setting = queue_tables.setting
        is_last = setting.c.name == LAST_ID
        deleted = int(connection.execute(select(setting.c.value).where(is_last)).scalar() or 0)
        values = {"value": str(max(newest, deleted) + IDS_AHEAD), "changed_at": self.clock(), "changed_by": ""}
        if connection.execute(update(setting).where(is_last).values(values)).rowcount == 0:
            connection.execute(insert(setting).values(name=LAST_ID, **values))


_OPEN = tuple(state.value for state in RunState if not state.is_end)


def _is(run: Row) -> Any:
    return queue_tables.run.c.test_id == run["test_id"]
