"""Shared rate limits, the request behind an idempotency key, tokens made by tokens, clouds' options, the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0005"
down_revision = "0004"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "queue_rate",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("level", _SECONDS, nullable=False),
        sa.Column("changed_at", _SECONDS, nullable=False),
    )
    op.create_index("queue_rate_changed", "queue_rate", ["changed_at"])
    op.create_table(
        "queue_audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", _SECONDS, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("token_id", sa.Integer),
        sa.Column("address", sa.String(60), nullable=False),
        sa.Column("action", sa.String(80), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
    )
    add_column("queue_run", sa.Column("request_digest", sa.String(64)))
    add_column("queue_token", sa.Column("parent_id", sa.Integer))
    add_column("queue_cloud", sa.Column("options", sa.Text))


def downgrade() -> None:
    drop_column("queue_cloud", "options")
    drop_column("queue_token", "parent_id")
    drop_column("queue_run", "request_digest")
    op.drop_table("queue_audit")
    op.drop_table("queue_rate")
