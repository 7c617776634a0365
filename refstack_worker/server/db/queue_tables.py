"""The queue's own tables: runs, attempts, results, nodes and settings."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from refstack_worker.server.db.legacy_tables import METADATA, SECONDS

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
    Column("created_at", SECONDS, nullable=False),
    Column("updated_at", SECONDS, nullable=False),
    Column("queued_at", SECONDS, nullable=False),
    Column("started_at", SECONDS, nullable=False, default=0.0),
    Column("ended_at", SECONDS, nullable=False, default=0.0),
    Column("cancel_asked_at", SECONDS, nullable=False, default=0.0),
    Column("reason", String(40), nullable=False, default=""),
    Column("message", String(1024), nullable=False, default=""),
    Column("worker", String(200), nullable=False, default=""),
    Column("passed", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    Column("messages", Integer, nullable=False, default=0),
    Column("revision", Integer, nullable=False, default=0),
    Column("kind", String(16), nullable=False, default="run"),
    Column("request_digest", String(64)),
    Column("discover", String(16)),
    Column("stored_kib", Integer, nullable=False, default=0),
    Column("shards", Integer),
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
    Column("created_at", SECONDS, nullable=False),
    Column("leased_until", SECONDS, nullable=False, default=0.0),
    Column("priority", Integer, nullable=False, default=0),
    Column("secret_digest", String(64)),
    Column("payload_digest", String(64)),
    Column("submitted_at", SECONDS, nullable=False, default=0.0),
    Column("server", String(260), nullable=False, default=""),
    Column("handle", String(260), nullable=False, default=""),
    Column("function", String(120), nullable=False, default=""),
    Column("claim_id", String(100)),
    Column("worker", String(200), nullable=False, default=""),
    Column("claimed_at", SECONDS, nullable=False, default=0.0),
    Column("heartbeat_at", SECONDS, nullable=False, default=0.0),
    Column("contested_at", SECONDS, nullable=False, default=0.0),
    Column("progress", Text),
    Column("ended_at", SECONDS, nullable=False, default=0.0),
    Column("outcome", String(40), nullable=False, default=""),
    Column("note", String(1024), nullable=False, default=""),
    Column("is_withdrawn", Boolean, nullable=False, default=True),
    Column("tempest_version", String(40), nullable=False, default=""),
    Column("lock_digest", String(64), nullable=False, default=""),
    Column("software", String(80), nullable=False, default=""),
    Column("sealed_secrets", Text),
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
    Column("accepted_at", SECONDS, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("seconds", SECONDS, nullable=False),
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

log_chunk = Table(
    "queue_log_chunk",
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
"""Tempest's own log without the secrets, compressed (gzip), in pieces of one MiB."""

result_test = Table(
    "queue_result_test",
    METADATA,
    Column("test_id", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", String(512), nullable=False),
    Column("uuid", String(36), nullable=False, default=""),
    Column("status", String(8), nullable=False),
    Column("seconds", SECONDS, nullable=False, default=0.0),
    Column("started_at", SECONDS, nullable=False, default=0.0),
    Column("reason", Text, nullable=False, default=""),
    Column("times", Integer, nullable=False, default=1),
    ForeignKeyConstraint(["test_id"], ["queue_result.test_id"], name="queue_result_test_result", ondelete="CASCADE"),
)

console = Table(
    "queue_console",
    METADATA,
    Column("test_id", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
    Column("lines", Text, nullable=False),
    ForeignKeyConstraint(["test_id"], ["queue_run.test_id"], name="queue_console_run", ondelete="CASCADE"),
)
"""Batches of console lines, as nodes send them; the lines of an attempt are numbered from 0."""

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
    Column("time", SECONDS, nullable=False),
    Column("seen_at", SECONDS, nullable=False),
)

server = Table(
    "queue_server",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("skew", SECONDS, nullable=False),
    Column("seen_at", SECONDS, nullable=False),
)
"""Machines of the server's side, with the seconds by which their clocks are ahead of the database's."""

setting = Table(
    "queue_setting",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", SECONDS, nullable=False),
    Column("changed_by", String(200), nullable=False),
)
"""What operators switch while it runs: ``paused``."""
