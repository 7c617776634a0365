"""How a run is cancelled: at once if it waits; else its node hears of it with the next heartbeat."""

from __future__ import annotations

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from refstack_worker.contract.states import RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.db.shard_tables import shard
from refstack_worker.server.domain.runs import SPLIT
from refstack_worker.server.ledger.transactions import Move, Row, Transactions

_REASON = "cancelled"
_OPEN_SHARDS = (
    select(queue_tables.run)
    .select_from(queue_tables.run.join(shard, shard.c.test_id == queue_tables.run.c.test_id))
    .where(shard.c.parent_id == bindparam("of_run"), queue_tables.run.c.ended_at == 0)
    .order_by(shard.c.number)
    .with_for_update(of=queue_tables.run)
)
"""Locked after the run that they belong to, which every caller holds."""


def cancel_run(transactions: Transactions, connection: Connection, run: Row, message: str) -> None:
    """Cancel a locked run that has not ended; of a run that is split, every shard."""
    if run["kind"] == SPLIT:
        _cancel_split(transactions, connection, run, message)
    else:
        _cancel_one(transactions, connection, run, message)


def cancel_shards(transactions: Transactions, connection: Connection, parent_id: int, message: str) -> bool:
    """Cancel what still goes on of a run that is split; return whether nothing does any more."""
    shards = connection.execute(_OPEN_SHARDS, {"of_run": parent_id}).mappings().all()
    for one in shards:
        _cancel_one(transactions, connection, one, message)
    return all(one["state"] == RunState.QUEUED.value for one in shards)


def _cancel_split(transactions: Transactions, connection: Connection, run: Row, message: str) -> None:
    is_over = cancel_shards(transactions, connection, run["test_id"], message)
    if is_over:
        transactions.move(connection, run, Move(RunState.CANCELLED, message, _REASON))
    else:
        _ask(transactions, connection, run, message)


def _cancel_one(transactions: Transactions, connection: Connection, run: Row, message: str) -> None:
    if run["state"] == RunState.QUEUED.value:
        transactions.move(connection, run, Move(RunState.CANCELLED, message, _REASON))
    else:
        _ask(transactions, connection, run, message)


def _ask(transactions: Transactions, connection: Connection, run: Row, message: str) -> None:
    if run["state"] != RunState.CANCELLING.value:
        asked = {"cancel_asked_at": transactions.clock()}
        transactions.move(connection, run, Move(RunState.CANCELLING, message, _REASON), asked)
