"""RefStack's own tables, where they are not there yet.

In an existing RefStack they are, and stay untouched; going down never drops them, because they were never ours.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Columns = list[Any]


def upgrade() -> None:
    known = set(sa.inspect(op.get_bind()).get_table_names())
    for name, columns in _tables():
        if name not in known:
            op.create_table(name, *columns)


def downgrade() -> None:
    """Leave RefStack's own tables as they are."""


def _tables() -> list[tuple[str, Columns]]:
    return [("vendor", _vendor()), ("user", _user()), ("apikey", _apikey()), ("cloud", _cloud()), *_tests()]


def _vendor() -> Columns:
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("vendor_name", sa.String(80), unique=True),
        sa.Column("contact_email", sa.String(120), unique=True),
        sa.Column("contact_name", sa.String(120)),
    ]


def _user() -> Columns:
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("vendor_id", sa.Integer, sa.ForeignKey("vendor.id")),
        sa.Column("name", sa.String(60)),
        sa.Column("email", sa.String(200), unique=True),
        sa.Column("email_verified", sa.Boolean),
        sa.Column("openid", sa.String(200), unique=True),
        sa.Column("authorized", sa.Boolean),
        sa.Column("su", sa.Boolean),
    ]


def _apikey() -> Columns:
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(60)),
        sa.Column("key", sa.String(200)),
        sa.Column("openid", sa.String(200)),
        sa.Column("timestamp", sa.DateTime),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id")),
    ]


def _cloud() -> Columns:
    sizes = {
        "label": 60,
        "endpoint": 512,
        "endpoint_v3": 512,
        "admin_endpoint": 512,
        "test_user": 80,
        "alt_user": 80,
        "admin_user": 80,
        "version": 80,
        "tempest_sha": 128,
        "architecture": 40,
    }
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String(size)) for name, size in sizes.items()),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id")),
    ]


def _tests() -> list[tuple[str, Columns]]:
    test = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("cloud_id", sa.Integer, sa.ForeignKey("cloud.id")),
        sa.Column("finished", sa.Boolean),
        sa.Column("subunit", sa.String(4096)),
        sa.Column("parsed", sa.String(4096)),
    ]
    status = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("test_id", sa.Integer, sa.ForeignKey("test.id")),
        sa.Column("message", sa.String(1024)),
        sa.Column("timestamp", sa.DateTime),
    ]
    return [("test", test), ("test_status", status)]
