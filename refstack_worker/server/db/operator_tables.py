"""The tables of what operators decide about vendors, users and runs."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, String, Table

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

user_state = Table(
    "queue_user_state",
    METADATA,
    Column("user_id", Integer, ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("disabled_at", SECONDS, nullable=False),
    Column("disabled_by", String(200), nullable=False),
)
"""Users who are disabled: their tokens and sessions are refused, and nothing starts in their name."""

vendor_state = Table(
    "queue_vendor_state",
    METADATA,
    Column("vendor_id", Integer, ForeignKey("vendor.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("disabled_at", SECONDS, nullable=False, default=0.0),
    Column("disabled_by", String(200), nullable=False, default=""),
    Column("max_open_runs", Integer),
)
"""Vendors that are disabled with all their users, or that have their own limit of open runs."""

pin = Table(
    "queue_pin",
    METADATA,
    Column(
        "test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("pinned_at", SECONDS, nullable=False),
    Column("pinned_by", String(200), nullable=False),
)
"""Runs that are kept however old they are."""
