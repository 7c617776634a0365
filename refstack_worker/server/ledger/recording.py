"""What has to be known before a run is recorded, and the recorded run: one question to PostgreSQL in place of five.

Each question sees what is committed when it begins, so one sees no less than several did, and all of it at one moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, case, func, select, true
from sqlalchemy.engine import Connection

from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.prepared import PREPARED
from refstack_worker.server.domain.runs import NewRun, Run
from refstack_worker.server.ledger.node_keys import ACTIVE_KEYS, active_keys
from refstack_worker.server.ledger.queue_state import queue_is_paused
from refstack_worker.server.ledger.run_rows import CLOUD_COLUMNS, run_of
from refstack_worker.server.ledger.single_statements import IS_PAUSED
from refstack_worker.server.ledger.transactions import refused

SAME = select(queue_tables.run.c.test_id, queue_tables.run.c.request_digest).where(
    queue_tables.run.c.created_by == bindparam("who"), queue_tables.run.c.idempotency_key == bindparam("key")
)
"""The run that a request with this idempotency key made before."""


@dataclass(frozen=True)
class Start:
    """What the ledger knows before a run is recorded."""

    same_id: int | None
    """The run of the same idempotency key."""
    same_digest: str | None
    """Digest of the request that made it."""
    is_paused: bool
    node_keys: tuple[str, ...]
    """Public keys (base64) that payloads are sealed to."""
    test_id: int | None = None
    """Id that was drawn for the run; None: its row makes it."""
    cloud: Mapping[str, Any] | None = None
    """Columns of the cloud as :func:`~refstack_worker.server.ledger.run_rows.cloud_of` reads them; None: not asked."""

    def same(self, new: NewRun) -> int | None:
        """Return the run of the same idempotency key, if any. :raises RefusedError: ``key-reused``."""
        if self.same_id is not None and self.same_digest not in (None, new.request_digest):
            raise refused("key-reused", "this Idempotency-Key was already used for a different request; use a new one")
        return self.same_id


@dataclass(frozen=True)
class Recorded:
    """The answer to a request for a run."""

    run: Run
    is_new: bool
    """False: an earlier request with the same idempotency key made it."""
    is_audited: bool = False
    """The audit log has the entry that came with the request."""


def start(connection: Connection, new: NewRun, is_sqlite: bool) -> Start:
    """Ask for all that has to be known before a run is recorded, in the transaction that records it."""
    key = new.idempotency_key or None
    if is_sqlite:
        same = connection.execute(SAME, {"who": new.created_by, "key": key}).mappings().first() if key else None
        same_id, same_digest = (same["test_id"], same["request_digest"]) if same else (None, None)
        return Start(same_id, same_digest, queue_is_paused(connection), active_keys(connection))
    given = {"who": new.created_by, "key": key, "of_cloud": new.cloud_id, "has_test": new.test_id is not None}
    row = connection.execute(_start(), given).mappings().one()
    return Start(
        row["same_id"], row["same_digest"], row["is_paused"], tuple(row["node_keys"]), row["drawn"],
        {name: row[name] for name in _CLOUD},
    )  # fmt: skip


def is_known(connection: Connection, new: NewRun) -> bool:
    """Return whether a request with the same idempotency key made a run before."""
    given = {"who": new.created_by, "key": new.idempotency_key}
    return bool(new.idempotency_key) and connection.execute(SAME, given).first() is not None


def recorded_run(start: Start, row: Mapping[str, Any]) -> Run:
    """Return the run of a row that was just recorded. :param row: with all columns that have a default."""
    columns: dict[str, Any] = {column.name: None for column in queue_tables.run.c}
    return run_of({**columns, "progress": None, **(start.cloud or {}), **row})


_CLOUD = tuple(column.name for column in CLOUD_COLUMNS)


@cache
def _start() -> Any:
    # the row that all else is joined to: there may be neither such a run nor such a cloud
    nothing = select(true().label("is_there")).subquery("nothing")
    same = SAME.subquery("same")
    cloud = legacy_tables.cloud
    joined = nothing.outerjoin(same, true()).outerjoin(
        cloud, cloud.c.id == bindparam("of_cloud", type_=cloud.c.id.type)
    )
    number = func.nextval(func.pg_get_serial_sequence("test", "id"))
    is_drawn = same.c.test_id.is_(None) & ~bindparam("has_test", type_=queue_tables.attempt.c.is_open.type)
    return (
        select(
            same.c.test_id.label("same_id"),
            same.c.request_digest.label("same_digest"),
            IS_PAUSED.label("is_paused"),
            func.array(ACTIVE_KEYS.scalar_subquery()).label("node_keys"),
            case((is_drawn, number)).label("drawn"),
            *CLOUD_COLUMNS,
        )
        .select_from(joined)
        .execution_options(**PREPARED)
    )
