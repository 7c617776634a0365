"""Links that need no sign-in: to a run's report, and to badge and feed of a cloud."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "queue_link",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("test_id", sa.Integer, sa.ForeignKey("queue_run.test_id", ondelete="CASCADE")),
        sa.Column("cloud_id", sa.Integer, sa.ForeignKey("cloud.id", ondelete="CASCADE")),
        sa.Column("program", sa.String(200), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
    )
    op.create_index("queue_link_test", "queue_link", ["test_id"])
    op.create_index("queue_link_cloud", "queue_link", ["cloud_id"])


def downgrade() -> None:
    op.drop_table("queue_link")
