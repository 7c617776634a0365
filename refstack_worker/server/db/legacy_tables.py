"""RefStack's own tables, as they have always been: nothing here may change a column of them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Float, ForeignKey, Index, Integer, MetaData, String, Table

METADATA = MetaData()
SECONDS = Float(53)
"""Times of the queue's tables: seconds since 1970, so that every database and every reader means the same."""

vendor = Table(
    "vendor",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("vendor_name", String(80), unique=True),
    Column("contact_email", String(120), unique=True),
    Column("contact_name", String(120)),
)

user = Table(
    "user",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("vendor_id", Integer, ForeignKey("vendor.id")),
    Column("name", String(60)),
    Column("email", String(200), unique=True),
    Column("email_verified", Boolean),
    Column("openid", String(200), unique=True),
    Column("authorized", Boolean, default=False),
    Column("su", Boolean, default=False),
)

apikey = Table(
    "apikey",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(60)),
    Column("key", String(200)),
    Column("openid", String(200)),
    Column("timestamp", DateTime),
    Column("user_id", Integer, ForeignKey("user.id")),
)

cloud = Table(
    "cloud",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("label", String(60)),
    Column("endpoint", String(512)),
    Column("endpoint_v3", String(512)),
    Column("admin_endpoint", String(512)),
    Column("test_user", String(80)),
    Column("alt_user", String(80)),
    Column("admin_user", String(80)),
    Column("version", String(80)),
    Column("tempest_sha", String(128)),
    Column("architecture", String(40)),
    Column("user_id", Integer, ForeignKey("user.id")),
)

test = Table(
    "test",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("cloud_id", Integer, ForeignKey("cloud.id")),
    Column("finished", Boolean, default=False),
    Column("subunit", String(4096)),
    Column("parsed", String(4096)),
)

test_status = Table(
    "test_status",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("test_id", Integer, ForeignKey("test.id")),
    Column("message", String(1024)),
    Column("timestamp", DateTime),
)

Index("queue_status_of_test", test_status.c.test_id, test_status.c.id)
"""The one thing that the queue adds to a table of RefStack's: without it every look at messages reads all of them."""

LEGACY_TABLES = (vendor, user, apikey, cloud, test, test_status)
