"""The tables: RefStack's own as they have always been, and beside them the queue's bookkeeping.

The legacy tables are RefStack's; nothing here may change a column of them. Times of the queue's tables are seconds
since 1970, so that every database and every reader means the same.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

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

_Seconds = Float(53)

run = Table(
    "queue_run",
    METADATA,
    Column("test_id", Integer, ForeignKey("test.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lost", Integer, nullable=False, default=0),
    Column("released", Integer, nullable=False, default=0),
    Column("tempest_version", String(40), nullable=False, default=""),
    Column("openstack_release", String(40), nullable=False, default=""),
    Column("plugins", Text, nullable=False, default="{}"),
    Column("testcases", Text),
    Column("concurrency", Integer, nullable=False, default=0),
    Column("timeout", Integer, nullable=False),
    Column("tag", String(32), nullable=False, default=""),
    Column("priority", Integer, nullable=False, default=0),
    Column("label", String(200), nullable=False, default=""),
    Column("created_by", String(200), nullable=False, default=""),
    Column("owner_id", Integer, ForeignKey("user.id", ondelete="SET NULL")),
    Column("rerun_of", Integer),
    Column("idempotency_key", String(200)),
    Column("sealed_conf", Text),
    Column("created_at", _Seconds, nullable=False),
    Column("updated_at", _Seconds, nullable=False),
    Column("queued_at", _Seconds, nullable=False),
    Column("started_at", _Seconds, nullable=False, default=0.0),
    Column("ended_at", _Seconds, nullable=False, default=0.0),
    Column("cancel_asked_at", _Seconds, nullable=False, default=0.0),
    Column("reason", String(40), nullable=False, default=""),
    Column("message", String(1024), nullable=False, default=""),
    Column("worker", String(200), nullable=False, default=""),
    Column("passed", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    Column("messages", Integer, nullable=False, default=0),
    Column("revision", Integer, nullable=False, default=0),
    UniqueConstraint("created_by", "idempotency_key", name="queue_run_idempotency"),
    Index("queue_run_state", "state", "test_id"),
    Index("queue_run_owner", "owner_id", "test_id"),
)

attempt = Table(
    "queue_attempt",
    METADATA,
    Column(
        "test_id", Integer, ForeignKey("queue_run.test_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("is_open", Boolean, nullable=False, default=True),
    Column("created_at", _Seconds, nullable=False),
    Column("leased_until", _Seconds, nullable=False, default=0.0),
    Column("priority", Integer, nullable=False, default=0),
    Column("secret_digest", String(64)),
    Column("payload_digest", String(64)),
    Column("submitted_at", _Seconds, nullable=False, default=0.0),
    Column("server", String(260), nullable=False, default=""),
    Column("handle", String(260), nullable=False, default=""),
    Column("function", String(120), nullable=False, default=""),
    Column("claim_id", String(100)),
    Column("worker", String(200), nullable=False, default=""),
    Column("claimed_at", _Seconds, nullable=False, default=0.0),
    Column("heartbeat_at", _Seconds, nullable=False, default=0.0),
    Column("contested_at", _Seconds, nullable=False, default=0.0),
    Column("progress", Text),
    Column("ended_at", _Seconds, nullable=False, default=0.0),
    Column("outcome", String(40), nullable=False, default=""),
    Column("note", String(1024), nullable=False, default=""),
    Column("is_withdrawn", Boolean, nullable=False, default=True),
    Index("queue_attempt_open", "is_open", "submitted_at"),
    Index("queue_attempt_withdrawn", "is_withdrawn"),
)
"""``is_open``: the current attempt of a run that has not ended. ``is_withdrawn``: gearmand holds no job of it that
should be cancelled there."""

result = Table(
    "queue_result",
    METADATA,
    Column("test_id", Integer, ForeignKey("test.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("summary", Text),
    Column("accepted_at", _Seconds, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("seconds", _Seconds, nullable=False),
)
"""The one accepted result of a run."""

result_chunk = Table(
    "queue_result_chunk",
    METADATA,
    Column(
        "test_id",
        Integer,
        ForeignKey("queue_result.test_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
"""The stream without the secrets, compressed (gzip), in pieces of one MiB."""

result_test = Table(
    "queue_result_test",
    METADATA,
    Column("test_id", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", String(512), nullable=False),
    Column("uuid", String(36), nullable=False, default=""),
    Column("status", String(8), nullable=False),
    Column("seconds", _Seconds, nullable=False, default=0.0),
    Column("started_at", _Seconds, nullable=False, default=0.0),
    Column("reason", Text, nullable=False, default=""),
    ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], name="queue_result_test_result", ondelete="CASCADE"),
)

node = Table(
    "queue_node",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("versions", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("busy", Integer, nullable=False),
    Column("tags", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("software", String(80), nullable=False),
    Column("time", _Seconds, nullable=False),
    Column("seen_at", _Seconds, nullable=False),
)

setting = Table(
    "queue_setting",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", _Seconds, nullable=False),
    Column("changed_by", String(200), nullable=False),
)
"""What operators switch while it runs: ``paused``."""

token = Table(
    "queue_token",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", String(200), nullable=False),
    Column("user_id", Integer, ForeignKey("user.id", ondelete="CASCADE")),
    Column("created_at", _Seconds, nullable=False),
    Column("expires_at", _Seconds, nullable=False, default=0.0),
    Column("revoked_at", _Seconds, nullable=False, default=0.0),
    Column("last_used_at", _Seconds, nullable=False, default=0.0),
)

QUEUE_TABLES = (run, attempt, result, result_chunk, result_test, node, setting, token)
