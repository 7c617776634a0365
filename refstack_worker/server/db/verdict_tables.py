"""The tables of what a result is worth: frozen verdicts, uploads to RefStack, and the keys that sign those."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Integer, String, Table, Text

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

verdict = Table(
    "queue_verdict",
    METADATA,
    Column("test_id", Integer, primary_key=True, autoincrement=False),
    Column("guideline_id", Integer),
    Column("is_passed", Boolean, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("frozen_at", SECONDS, nullable=False),
    ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], name="queue_verdict_result", ondelete="CASCADE"),
)
"""The verdict as it was when the result was accepted; beside the document what lists show of it.

It refers to no other row: a guideline may go, the fact stays.
"""

upload = Table(
    "queue_upload",
    METADATA,
    Column("test_id", Integer, primary_key=True, autoincrement=False),
    Column("server", String(512), primary_key=True),
    Column("remote_id", String(80), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("key_digest", String(64), nullable=False),
    Column("uploaded_by", String(200), nullable=False),
    Column("uploaded_at", SECONDS, nullable=False),
    ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], name="queue_upload_result", ondelete="CASCADE"),
)
"""A result is uploaded to a RefStack server once."""

upload_key = Table(
    "queue_upload_key",
    METADATA,
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    Column("sealed", Text, nullable=False),
    Column("public", Text, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    ForeignKeyConstraint(["user_id"], ["user.id"], name="queue_upload_key_user", ondelete="CASCADE"),
)
"""The RSA key under which a user uploads, sealed as the passwords of clouds are."""
