"""Events, who wants to hear of them, and the messages that are sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_SECONDS = sa.Float(53)


def upgrade() -> None:
    _create_events()
    _create_subscriptions()
    _create_deliveries()


def _create_events() -> None:
    op.create_table(
        "queue_event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("test_id", sa.Integer, sa.ForeignKey("queue_run.test_id", ondelete="CASCADE")),
        sa.Column("at", _SECONDS, nullable=False),
        sa.Column("text", sa.String(1024), nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.UniqueConstraint("kind", "subject", name="queue_event_once"),
    )
    op.create_index("queue_event_open", "queue_event", ["is_open", "id"])
    op.create_index("queue_event_run", "queue_event", ["test_id"])


def _create_subscriptions() -> None:
    op.create_table(
        "queue_subscription",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("target", sa.String(500), nullable=False),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE")),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("kinds", sa.String(300), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("sealed_secret", sa.Text),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("paused_at", _SECONDS, nullable=False),
        sa.Column("problem", sa.String(300), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    op.create_index("queue_subscription_owner", "queue_subscription", ["owner_id"])


def _create_deliveries() -> None:
    op.create_table(
        "queue_delivery",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "subscription_id", sa.Integer, sa.ForeignKey("queue_subscription.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("event_id", sa.Integer),
        sa.Column("test_id", sa.Integer, sa.ForeignKey("queue_run.test_id", ondelete="CASCADE")),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("due_at", _SECONDS, nullable=False),
        sa.Column("leased_until", _SECONDS, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("ended_at", _SECONDS, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.String(300), nullable=False),
        sa.UniqueConstraint("subscription_id", "event_id", name="queue_delivery_once"),
    )
    op.create_index("queue_delivery_due", "queue_delivery", ["is_open", "due_at"])
    op.create_index("queue_delivery_run", "queue_delivery", ["test_id"])


def downgrade() -> None:
    op.drop_table("queue_delivery")
    op.drop_table("queue_subscription")
    op.drop_table("queue_event")
