"""The table of the parts into which runs are split."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, exists, select

from refstack_worker.server.db.legacy_tables import METADATA

shard = Table(
    "queue_shard",
    METADATA,
    Column(
        "parent_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE")),
    Column("is_last", Boolean, nullable=False, default=False),
    Column("tests", Integer, nullable=False),
    Column("names", Text, nullable=False),
    Column("last_message_id", Integer, nullable=False, default=0),
    Column("console_attempt", Integer, nullable=False, default=0),
    Column("console_next", Integer, nullable=False, default=0),
    Index("queue_shard_test", "test_id", unique=True),
)
"""``test_id``: the shard's own run; NULL: it waits for the others (``is_last``). ``last_message_id``,
``console_attempt`` and ``console_next``: up to where its messages and console lines were copied to the run that it
belongs to."""


def is_no_shard(test_id: Any) -> Any:
    """Return the condition that a run, or a result, is not that of a shard. :param test_id: the column."""
    return ~exists(select(shard.c.test_id).where(shard.c.test_id == test_id).correlate_except(shard))
