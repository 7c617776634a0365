"""The tables of notifications: events, who wants to hear of them, and the messages."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

event = Table(
    "queue_event",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE")),
    Column("at", SECONDS, nullable=False),
    Column("text", String(1024), nullable=False, default=""),
    Column("is_open", Boolean, nullable=False, default=True),
    UniqueConstraint("kind", "subject", name="queue_event_once"),
    Index("queue_event_open", "is_open", "id"),
    Index("queue_event_run", "test_id"),
)
"""What happened once: ``subject`` tells events of a kind apart. ``is_open``: no messages were made of it yet."""

subscription = Table(
    "queue_subscription",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("target", String(500), nullable=False),
    Column("owner_id", Integer, ForeignKey("user.id", ondelete="CASCADE")),
    Column("scope", String(16), nullable=False),
    Column("kinds", String(300), nullable=False),
    Column("label", String(100), nullable=False, default=""),
    Column("sealed_secret", Text),
    Column("created_at", SECONDS, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("paused_at", SECONDS, nullable=False, default=0.0),
    Column("problem", String(300), nullable=False, default=""),
    Column("failures", Integer, nullable=False, default=0),
    Index("queue_subscription_owner", "owner_id"),
)
"""Who gets messages about what; without an owner it is the operators'. ``failures``: messages given up in a row."""

delivery = Table(
    "queue_delivery",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("subscription_id", Integer, ForeignKey("queue_subscription.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Integer),
    Column("test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE")),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("is_open", Boolean, nullable=False, default=True),
    Column("due_at", SECONDS, nullable=False),
    Column("leased_until", SECONDS, nullable=False, default=0.0),
    Column("tries", Integer, nullable=False, default=0),
    Column("ended_at", SECONDS, nullable=False, default=0.0),
    Column("status", Integer, nullable=False, default=0),
    Column("error", String(300), nullable=False, default=""),
    UniqueConstraint("subscription_id", "event_id", name="queue_delivery_once"),
    Index("queue_delivery_due", "is_open", "due_at"),
    Index("queue_delivery_run", "test_id"),
)
"""A message to one subscriber. ``is_open``: still to be sent; then ``error`` says whether it arrived."""
