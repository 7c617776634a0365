"""The users' side: sessions, clouds' further fields, guidelines, shares; indexes for long lists of runs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_SECONDS = sa.Float(53)


def _reference(name: str, target: str, **more: Any) -> Any:
    return sa.Column(name, sa.Integer, sa.ForeignKey(target, ondelete="CASCADE"), **more)


def upgrade() -> None:
    op.create_table(
        "queue_session",
        sa.Column("digest", sa.String(64), primary_key=True),
        _reference("token_id", "queue_token.id", nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
    )
    op.create_table(
        "queue_cloud",
        _reference("cloud_id", "cloud.id", primary_key=True, autoincrement=False),
        sa.Column("region", sa.String(80), nullable=False),
        sa.Column("release", sa.String(40), nullable=False),
        sa.Column("sealed_conf", sa.Text),
        sa.Column("checked_at", _SECONDS, nullable=False),
        sa.Column("check_ok", sa.Boolean, nullable=False),
        sa.Column("check_said", sa.Text, nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
    )
    op.create_table(
        "queue_guideline",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("source", sa.String(2048), nullable=False),
        sa.Column("added_by", sa.String(200), nullable=False),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("user.id", ondelete="SET NULL")),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.UniqueConstraint("digest", "owner_id", name="queue_guideline_digest"),
    )
    op.create_table(
        "queue_run_guideline",
        _reference("test_id", "queue_run.test_id", primary_key=True, autoincrement=False),
        _reference("guideline_id", "queue_guideline.id", nullable=False),
        sa.Column("program", sa.String(200), nullable=False),
        sa.Column("advisory", sa.Boolean, nullable=False),
    )
    op.create_table(
        "queue_share",
        _reference("test_id", "queue_run.test_id", primary_key=True, autoincrement=False),
        _reference("vendor_id", "vendor.id", primary_key=True, autoincrement=False),
        sa.Column("created_at", _SECONDS, nullable=False),
    )
    op.create_index("queue_share_vendor", "queue_share", ["vendor_id"])


def downgrade() -> None:
    for name in ("queue_share", "queue_run_guideline", "queue_guideline", "queue_cloud", "queue_session"):
        op.drop_table(name)
