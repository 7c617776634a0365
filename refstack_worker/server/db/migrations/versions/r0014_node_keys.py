"""A key for each node, and the tokens to enrol with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "queue_node_key",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("node", sa.String(200), nullable=False),
        sa.Column("public", sa.String(64), nullable=False),
        sa.Column("enrolled_at", _SECONDS, nullable=False),
        sa.Column("replaced_at", _SECONDS, nullable=False),
        sa.Column("revoked_at", _SECONDS, nullable=False),
        sa.Column("revoked_by", sa.String(200), nullable=False),
    )
    op.create_index("ix_queue_node_key_node", "queue_node_key", ["node"])
    op.create_table(
        "queue_enrolment",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("node", sa.String(200), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("queue_enrolment")
    op.drop_table("queue_node_key")
