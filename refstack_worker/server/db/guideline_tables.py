"""The tables of guidelines, and which run is judged by which."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

guideline = Table(
    "queue_guideline",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(60), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("source", String(2048), nullable=False, default=""),
    Column("added_by", String(200), nullable=False, default=""),
    Column("owner_id", Integer, ForeignKey("user.id", ondelete="SET NULL")),
    Column("created_at", SECONDS, nullable=False),
    Column("archived_at", SECONDS, nullable=False, default=0.0),
    Column("origin", String(16), nullable=False),
    UniqueConstraint("digest", "owner_id", name="queue_guideline_digest"),
)
"""Guideline files. Only their origin tells which are official: an owner may go, and the file stays what it was."""

run_guideline = Table(
    "queue_run_guideline",
    METADATA,
    Column(
        "test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("guideline_id", Integer, ForeignKey("queue_guideline.id", ondelete="CASCADE"), nullable=False),
    Column("program", String(200), nullable=False),
    Column("advisory", Boolean, nullable=False, default=False),
    Column("left_out", Text, nullable=False, default="{}"),
    Column("combines", Integer),
)
"""By what a run is judged."""
