"""The secrets of each attempt, sealed with its own secret, to mask late messages; the clocks of server machines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    add_column("queue_attempt", sa.Column("sealed_secrets", sa.Text))
    op.create_table(
        "queue_server",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("skew", sa.Float(53), nullable=False),
        sa.Column("seen_at", sa.Float(53), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("queue_server")
    drop_column("queue_attempt", "sealed_secrets")
