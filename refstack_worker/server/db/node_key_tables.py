"""The tables of the keys of single nodes."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

node_key = Table(
    "queue_node_key",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("node", String(200), nullable=False, index=True),
    Column("public", String(64), nullable=False),
    Column("enrolled_at", SECONDS, nullable=False),
    Column("replaced_at", SECONDS, nullable=False, default=0.0),
    Column("revoked_at", SECONDS, nullable=False, default=0.0),
    Column("revoked_by", String(200), nullable=False, default=""),
)

enrolment = Table(
    "queue_enrolment",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("node", String(200), nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("expires_at", SECONDS, nullable=False),
    Column("created_by", String(200), nullable=False),
)
"""Tokens that were not used yet; the digest is all that is kept of one."""
