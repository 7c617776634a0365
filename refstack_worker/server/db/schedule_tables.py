"""The table of schedules: which run to start, and when."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

schedule = Table(
    "queue_schedule",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("owner_id", Integer, ForeignKey("user.id", ondelete="CASCADE")),
    Column("cloud_id", Integer, ForeignKey("cloud.id", ondelete="CASCADE"), nullable=False),
    Column("label", String(200), nullable=False, default=""),
    Column("body", Text, nullable=False),
    Column("minute", Integer, nullable=False),
    Column("days", String(40), nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("paused_at", SECONDS, nullable=False, default=0.0),
    Column("next_at", SECONDS, nullable=False),
    Column("leased_until", SECONDS, nullable=False, default=0.0),
    Column("last_at", SECONDS, nullable=False, default=0.0),
    Column("last_test_id", Integer),
    Column("problem", String(300), nullable=False, default=""),
    Index("queue_schedule_next", "next_at"),
    Index("queue_schedule_owner", "owner_id"),
)
"""Runs that start by themselves. ``minute``: of the day, UTC; ``body``: of the run, without any password."""
