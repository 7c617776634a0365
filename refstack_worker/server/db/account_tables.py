"""The tables of the users' side, beside RefStack's own and the queue's; see ``models.py``."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from refstack_worker.server.db.queue_tables import METADATA

_Seconds = Float(53)

session = Table(
    "queue_session",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("token_id", Integer, ForeignKey("queue_token.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", _Seconds, nullable=False),
    Column("expires_at", _Seconds, nullable=False),
)
"""A browser that signed in with a token; it is good as long as the token is."""

cloud_extra = Table(
    "queue_cloud",
    METADATA,
    Column("cloud_id", Integer, ForeignKey("cloud.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("region", String(80), nullable=False, default=""),
    Column("release", String(40), nullable=False, default=""),
    Column("sealed_conf", Text),
    Column("checked_at", _Seconds, nullable=False, default=0.0),
    Column("check_ok", Boolean, nullable=False, default=False),
    Column("check_said", Text, nullable=False, default=""),
    Column("created_at", _Seconds, nullable=False),
)
"""What RefStack's ``cloud`` has no column for."""

guideline = Table(
    "queue_guideline",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(60), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("source", String(2048), nullable=False, default=""),
    Column("added_by", String(200), nullable=False, default=""),
    Column("owner_id", Integer, ForeignKey("user.id", ondelete="SET NULL")),
    Column("created_at", _Seconds, nullable=False),
    UniqueConstraint("digest", "owner_id", name="queue_guideline_digest"),
)
"""Guideline files. Without an owner: an operator's, for everybody."""

run_guideline = Table(
    "queue_run_guideline",
    METADATA,
    Column(
        "test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("guideline_id", Integer, ForeignKey("queue_guideline.id", ondelete="CASCADE"), nullable=False),
    Column("program", String(200), nullable=False),
    Column("advisory", Boolean, nullable=False, default=False),
)
"""By what a run is judged."""

share = Table(
    "queue_share",
    METADATA,
    Column(
        "test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("vendor_id", Integer, ForeignKey("vendor.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("created_at", _Seconds, nullable=False),
    Index("queue_share_vendor", "vendor_id"),
)
"""Who beside its owner's vendor may look at a run."""
