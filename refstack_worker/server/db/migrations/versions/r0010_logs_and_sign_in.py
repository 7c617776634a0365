"""Tempest's own log of a run, kept with its result; and sign-in by OpenID Connect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0010"
down_revision = "0009"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "queue_log_chunk",
        sa.Column("test_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], ondelete="CASCADE"),
    )
    add_column("queue_token", sa.Column("is_session", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "queue_identity",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("issuer", sa.String(512), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.UniqueConstraint("issuer", "subject", name="queue_identity_subject"),
    )
    op.create_table(
        "queue_invitation",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
    )


def downgrade() -> None:
    for table in ("queue_invitation", "queue_identity", "queue_log_chunk"):
        op.drop_table(table)
    drop_column("queue_token", "is_session")
