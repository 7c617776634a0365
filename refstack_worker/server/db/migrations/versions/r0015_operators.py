"""Users and vendors that are disabled, limits of vendors, and runs that are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "queue_user_state",
        sa.Column(
            "user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("disabled_at", _SECONDS, nullable=False),
        sa.Column("disabled_by", sa.String(200), nullable=False),
    )
    op.create_table(
        "queue_vendor_state",
        sa.Column(
            "vendor_id",
            sa.Integer,
            sa.ForeignKey("vendor.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("disabled_at", _SECONDS, nullable=False),
        sa.Column("disabled_by", sa.String(200), nullable=False),
        sa.Column("max_open_runs", sa.Integer),
    )
    op.create_table(
        "queue_pin",
        sa.Column(
            "test_id",
            sa.Integer,
            sa.ForeignKey("queue_run.test_id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("pinned_at", _SECONDS, nullable=False),
        sa.Column("pinned_by", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("queue_pin")
    op.drop_table("queue_vendor_state")
    op.drop_table("queue_user_state")
