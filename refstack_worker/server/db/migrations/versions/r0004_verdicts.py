"""Verdicts as facts, archived guidelines, imported results, and what was uploaded to RefStack."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0004"
down_revision = "0003"

_SECONDS = sa.Float(53)
_ADDED: tuple[tuple[str, str, Any, str], ...] = (
    ("queue_run", "kind", sa.String(16), "run"),
    ("queue_result_test", "times", sa.Integer, "1"),
    ("queue_attempt", "tempest_version", sa.String(40), ""),
    ("queue_attempt", "lock_digest", sa.String(64), ""),
    ("queue_attempt", "software", sa.String(80), ""),
    ("queue_guideline", "archived_at", _SECONDS, "0"),
    ("queue_guideline", "origin", sa.String(16), "own"),
    ("queue_run_guideline", "left_out", sa.Text, "{}"),
)


def upgrade() -> None:
    for table, name, kind, default in _ADDED:
        add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    add_column("queue_run_guideline", sa.Column("combines", sa.Integer))
    op.execute("UPDATE queue_guideline SET origin = 'official' WHERE owner_id IS NULL")
    op.create_table(
        "queue_verdict",
        sa.Column("test_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("guideline_id", sa.Integer),
        sa.Column("is_passed", sa.Boolean, nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("frozen_at", _SECONDS, nullable=False),
        sa.ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], name="queue_verdict_result", ondelete="CASCADE"),
    )
    op.create_table(
        "queue_upload",
        sa.Column("test_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("server", sa.String(512), primary_key=True),
        sa.Column("remote_id", sa.String(80), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=False),
        sa.Column("uploaded_by", sa.String(200), nullable=False),
        sa.Column("uploaded_at", _SECONDS, nullable=False),
        sa.ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], name="queue_upload_result", ondelete="CASCADE"),
    )
    op.create_table(
        "queue_upload_key",
        sa.Column("user_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="queue_upload_key_user", ondelete="CASCADE"),
    )


def downgrade() -> None:
    for name in ("queue_upload_key", "queue_upload", "queue_verdict"):
        op.drop_table(name)
    for table, name, *_ in (*reversed(_ADDED), ("queue_run_guideline", "combines")):
        drop_column(table, name)
