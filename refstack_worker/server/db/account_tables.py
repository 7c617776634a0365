"""The tables of tokens and sessions, of shared runs, and of what the queue adds to RefStack's clouds."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

token = Table(
    "queue_token",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", String(200), nullable=False),
    Column("user_id", Integer, ForeignKey("user.id", ondelete="CASCADE")),
    Column("created_at", SECONDS, nullable=False),
    Column("expires_at", SECONDS, nullable=False, default=0.0),
    Column("revoked_at", SECONDS, nullable=False, default=0.0),
    Column("last_used_at", SECONDS, nullable=False, default=0.0),
    Column("parent_id", Integer),
    Column("is_session", Boolean, nullable=False, default=False),
)
"""API tokens; ``parent_id``: the token with which this one was created, and with which it is revoked. ``is_session``:
it stands for a browser that signed in elsewhere; no one has its secret."""

session = Table(
    "queue_session",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("token_id", Integer, ForeignKey("queue_token.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("expires_at", SECONDS, nullable=False),
)
"""A browser that signed in with a token; it is good as long as the token is."""

share = Table(
    "queue_share",
    METADATA,
    Column(
        "test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("vendor_id", Integer, ForeignKey("vendor.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("created_at", SECONDS, nullable=False),
    Index("queue_share_vendor", "vendor_id"),
)
"""Who beside its owner's vendor may look at a run."""

cloud_extra = Table(
    "queue_cloud",
    METADATA,
    Column("cloud_id", Integer, ForeignKey("cloud.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("region", String(80), nullable=False, default=""),
    Column("release", String(40), nullable=False, default=""),
    Column("sealed_conf", Text),
    Column("checked_at", SECONDS, nullable=False, default=0.0),
    Column("check_ok", Boolean, nullable=False, default=False),
    Column("check_said", Text, nullable=False, default=""),
    Column("created_at", SECONDS, nullable=False),
    Column("options", Text),
)
"""What RefStack's ``cloud`` has no column for."""

rate = Table(
    "queue_rate",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("level", SECONDS, nullable=False),
    Column("changed_at", SECONDS, nullable=False),
    Index("queue_rate_changed", "changed_at"),
)
"""Token buckets: calls that a caller has left, for all processes together."""

audit = Table(
    "queue_audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", SECONDS, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("token_id", Integer),
    Column("address", String(60), nullable=False),
    Column("action", String(80), nullable=False),
    Column("target", String(200), nullable=False),
)
"""Who changed what, when, and from where. Rows are only added."""

identity = Table(
    "queue_identity",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("issuer", String(512), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("user_id", Integer, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", SECONDS, nullable=False),
    UniqueConstraint("issuer", "subject", name="queue_identity_subject"),
)
"""Who a user is at an OpenID Connect provider."""

invitation = Table(
    "queue_invitation",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("user_id", Integer, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("expires_at", SECONDS, nullable=False),
)
"""Links with which a user signs in for the first time; each works once."""
