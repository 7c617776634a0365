"""The queue's bookkeeping, in tables of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SECONDS = sa.Float(53)
_TABLES = (
    "queue_run",
    "queue_attempt",
    "queue_result",
    "queue_result_chunk",
    "queue_result_test",
    "queue_node",
    "queue_setting",
    "queue_token",
)


def upgrade() -> None:
    _run()
    _attempt()
    _result()
    _result_chunk()
    _result_test()
    _node()
    _setting()
    _token()
    op.create_index("queue_status_of_test", "test_status", ["test_id", "id"])


def downgrade() -> None:
    op.drop_index("queue_status_of_test", "test_status")
    for name in reversed(_TABLES):
        op.drop_table(name)


def _run() -> None:
    op.create_table(
        "queue_run",
        sa.Column(
            "test_id", sa.Integer, sa.ForeignKey("test.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("released", sa.Integer, nullable=False),
        sa.Column("tempest_version", sa.String(40), nullable=False),
        sa.Column("openstack_release", sa.String(40), nullable=False),
        sa.Column("plugins", sa.Text, nullable=False),
        sa.Column("testcases", sa.Text),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("timeout", sa.Integer, nullable=False),
        sa.Column("tag", sa.String(32), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("user.id", ondelete="SET NULL")),
        sa.Column("rerun_of", sa.Integer),
        sa.Column("idempotency_key", sa.String(200)),
        sa.Column("sealed_conf", sa.Text),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("updated_at", _SECONDS, nullable=False),
        sa.Column("queued_at", _SECONDS, nullable=False),
        sa.Column("started_at", _SECONDS, nullable=False),
        sa.Column("ended_at", _SECONDS, nullable=False),
        sa.Column("cancel_asked_at", _SECONDS, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("message", sa.String(1024), nullable=False),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.UniqueConstraint("created_by", "idempotency_key", name="queue_run_idempotency"),
    )
    op.create_index("queue_run_state", "queue_run", ["state", "test_id"])
    op.create_index("queue_run_owner", "queue_run", ["owner_id", "test_id"])


def _attempt() -> None:
    op.create_table(
        "queue_attempt",
        sa.Column(
            "test_id",
            sa.Integer,
            sa.ForeignKey("queue_run.test_id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("leased_until", _SECONDS, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("secret_digest", sa.String(64)),
        sa.Column("payload_digest", sa.String(64)),
        sa.Column("submitted_at", _SECONDS, nullable=False),
        sa.Column("server", sa.String(260), nullable=False),
        sa.Column("handle", sa.String(260), nullable=False),
        sa.Column("function", sa.String(120), nullable=False),
        sa.Column("claim_id", sa.String(100)),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("claimed_at", _SECONDS, nullable=False),
        sa.Column("heartbeat_at", _SECONDS, nullable=False),
        sa.Column("contested_at", _SECONDS, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("ended_at", _SECONDS, nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("note", sa.String(1024), nullable=False),
        sa.Column("is_withdrawn", sa.Boolean, nullable=False),
    )
    op.create_index("queue_attempt_open", "queue_attempt", ["is_open", "submitted_at"])
    op.create_index("queue_attempt_withdrawn", "queue_attempt", ["is_withdrawn"])


def _result() -> None:
    op.create_table(
        "queue_result",
        sa.Column(
            "test_id", sa.Integer, sa.ForeignKey("test.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("summary", sa.Text),
        sa.Column("accepted_at", _SECONDS, nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("seconds", _SECONDS, nullable=False),
    )


def _result_chunk() -> None:
    op.create_table(
        "queue_result_chunk",
        sa.Column(
            "test_id",
            sa.Integer,
            sa.ForeignKey("queue_result.test_id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _result_test() -> None:
    op.create_table(
        "queue_result_test",
        sa.Column("test_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("seconds", _SECONDS, nullable=False),
        sa.Column("started_at", _SECONDS, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["test_id"], ["queue_result.test_id"], name="queue_result_test_result", ondelete="CASCADE"
        ),
    )


def _node() -> None:
    op.create_table(
        "queue_node",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("busy", sa.Integer, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("software", sa.String(80), nullable=False),
        sa.Column("time", _SECONDS, nullable=False),
        sa.Column("seen_at", _SECONDS, nullable=False),
    )


def _setting() -> None:
    op.create_table(
        "queue_setting",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("changed_at", _SECONDS, nullable=False),
        sa.Column("changed_by", sa.String(200), nullable=False),
    )


def _token() -> None:
    op.create_table(
        "queue_token",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE")),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
        sa.Column("revoked_at", _SECONDS, nullable=False),
        sa.Column("last_used_at", _SECONDS, nullable=False),
    )
