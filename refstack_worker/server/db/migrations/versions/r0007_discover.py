"""What finds the Tempest options of a run that are not set; null: this software itself."""

from __future__ import annotations

import sqlalchemy as sa

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    add_column("queue_run", sa.Column("discover", sa.String(16)))


def downgrade() -> None:
    drop_column("queue_run", "discover")
