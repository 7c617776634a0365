"""The table of links that need no sign-in."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

link = Table(
    "queue_link",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE")),
    Column("cloud_id", Integer, ForeignKey("cloud.id", ondelete="CASCADE")),
    Column("program", String(200), nullable=False, default=""),
    Column("created_by", String(200), nullable=False, default=""),
    Column("created_at", SECONDS, nullable=False),
    Column("expires_at", SECONDS, nullable=False, default=0.0),
    Index("queue_link_test", "test_id"),
    Index("queue_link_cloud", "cloud_id"),
)
"""To the report of a run (``test_id``), or to badge and feed of a cloud and program; of the secret only the digest."""
