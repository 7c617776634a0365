"""What the shards of a run say, and the lines of their consoles, copied to the run: its page shows one run."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.console import MAX_LINES
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.shard_tables import shard
from refstack_worker.server.ledger.transactions import Row, Transactions

AT_ONCE = 200
"""Messages of a shard that one transaction copies."""
BATCHES_AT_ONCE = 20
"""Batches of console lines, likewise."""
_STATUS, _CONSOLE = legacy_tables.test_status, queue_tables.console


def copy_messages(transactions: Transactions, connection: Connection, test_id: int, row: Row) -> None:
    """Add the new messages of a shard to those of its run. :param row: of ``queue_shard``."""
    question = select(_STATUS.c.id, _STATUS.c.message).where(
        _STATUS.c.test_id == row["test_id"], _STATUS.c.id > row["last_message_id"]
    )
    found = connection.execute(question.order_by(_STATUS.c.id).limit(AT_ONCE)).mappings().all()
    for one in found:
        if one["message"] != RunState.QUEUED.value:
            run = transactions.locked_run(connection, test_id)
            transactions.say(connection, run, f"shard {row['number']}: {one['message']}")
    if found:
        _note(connection, row, last_message_id=found[-1]["id"])


def copy_console(connection: Connection, run: Row, row: Row) -> None:
    """Add the new console lines of a shard's current attempt to those of its run."""
    begin = row["console_next"] if row["console_attempt"] == row["attempt"] else 0
    is_new = (_CONSOLE.c.test_id == row["test_id"]) & (_CONSOLE.c.attempt == row["attempt"])
    question = select(_CONSOLE).where(is_new, _CONSOLE.c.first >= begin).order_by(_CONSOLE.c.first)
    found = connection.execute(question.limit(BATCHES_AT_ONCE)).mappings().all()
    if not found:
        return
    place = _next(connection, run)
    for one in found:
        if place + one["count"] <= MAX_LINES:
            copied = {"test_id": run["test_id"], "attempt": run["attempt"], "first": place, "count": one["count"]}
            connection.execute(insert(_CONSOLE), {**copied, "dropped": one["dropped"], "lines": one["lines"]})
            place += one["count"]
    last = found[-1]
    _note(connection, row, console_attempt=row["attempt"], console_next=last["first"] + last["count"])


def _next(connection: Connection, run: Row) -> int:
    is_of = (_CONSOLE.c.test_id == run["test_id"]) & (_CONSOLE.c.attempt == run["attempt"])
    question = select(_CONSOLE.c.first, _CONSOLE.c.count).where(is_of).order_by(_CONSOLE.c.first.desc()).limit(1)
    last = connection.execute(question).first()
    return last[0] + last[1] if last else 0


def _note(connection: Connection, row: Row, **values: int) -> None:
    is_it = (shard.c.parent_id == row["parent_id"]) & (shard.c.number == row["number"])
    connection.execute(update(shard).where(is_it).values(**values))
