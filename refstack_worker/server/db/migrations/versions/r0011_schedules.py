"""Runs that start by themselves at a time of the day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "queue_schedule",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE")),
        sa.Column("cloud_id", sa.Integer, sa.ForeignKey("cloud.id", ondelete="CASCADE"), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("minute", sa.Integer, nullable=False),
        sa.Column("days", sa.String(40), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("paused_at", _SECONDS, nullable=False),
        sa.Column("next_at", _SECONDS, nullable=False),
        sa.Column("leased_until", _SECONDS, nullable=False),
        sa.Column("last_at", _SECONDS, nullable=False),
        sa.Column("last_test_id", sa.Integer),
        sa.Column("problem", sa.String(300), nullable=False),
    )
    op.create_index("queue_schedule_next", "queue_schedule", ["next_at"])
    op.create_index("queue_schedule_owner", "queue_schedule", ["owner_id"])


def downgrade() -> None:
    op.drop_table("queue_schedule")
