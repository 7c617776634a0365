"""Runs that are split over several nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refstack_worker.server.db.columns import add_column, drop_column

revision = "0016"
down_revision = "0015"

_RUN = sa.table(
    "queue_run",
    *(sa.column(name) for name in ("test_id", "state", "kind", "reason", "message", "ended_at", "updated_at")),
    sa.column("sealed_conf"),
)
_ATTEMPT = sa.table("queue_attempt", sa.column("test_id"), sa.column("is_open", sa.Boolean))
_STATUS, _TEST = sa.table("test_status", sa.column("test_id")), sa.table("test", sa.column("id"))


def upgrade() -> None:
    add_column("queue_run", sa.Column("shards", sa.Integer))
    parent = sa.ForeignKey("queue_run.test_id", ondelete="CASCADE")
    own = sa.ForeignKey("queue_run.test_id", ondelete="CASCADE")
    op.create_table(
        "queue_shard",
        sa.Column("parent_id", sa.Integer, parent, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("test_id", sa.Integer, own),
        sa.Column("is_last", sa.Boolean, nullable=False),
        sa.Column("tests", sa.Integer, nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("last_message_id", sa.Integer, nullable=False),
        sa.Column("console_attempt", sa.Integer, nullable=False),
        sa.Column("console_next", sa.Integer, nullable=False),
    )
    op.create_index("queue_shard_test", "queue_shard", ["test_id"], unique=True)


def downgrade() -> None:
    # to the software before, a shard would be an ordinary run, and its run one that no node ever takes
    open_ones = _RUN.c.state.not_in(("finished", "failed", "cancelled")) & _RUN.c.kind.in_(("split", "shard"))
    op.execute(
        _ATTEMPT.update()
        .where(_ATTEMPT.c.test_id.in_(sa.select(_RUN.c.test_id).where(open_ones)))
        .values(is_open=sa.false())
    )
    message = "the server was downgraded to a version without shards"
    ended = {"state": "failed", "reason": "shards", "message": message, "ended_at": _RUN.c.updated_at}
    op.execute(_RUN.update().where(open_ones).values(sealed_conf=sa.null(), **ended))
    op.drop_table("queue_shard")
    shards = [row[0] for row in op.get_bind().execute(sa.select(_RUN.c.test_id).where(_RUN.c.kind == "shard"))]
    for number in shards:
        op.execute(_STATUS.delete().where(_STATUS.c.test_id == number))
        op.execute(_RUN.delete().where(_RUN.c.test_id == number))
        op.execute(_TEST.delete().where(_TEST.c.id == number))
    op.execute(_RUN.update().where(_RUN.c.kind == "split").values(kind="run"))
    drop_column("queue_run", "shards")
