"""How much each run takes in the database: a vendor may not fill it."""

from __future__ import annotations

import sqlalchemy as sa

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    add_column("queue_run", sa.Column("stored_kib", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    drop_column("queue_run", "stored_kib")
