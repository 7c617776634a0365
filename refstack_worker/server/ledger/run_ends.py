"""The event that a run has ended, recorded in the transaction or statement that ends it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, bindparam, cast, insert, literal, select
from sqlalchemy.engine import Connection

from refstack_worker.server.db.inserts import add_new
from refstack_worker.server.db.notify_tables import event
from refstack_worker.server.domain.notifications import EventKind

_NAMES = ("kind", "subject", "test_id", "at", "text", "is_open")


def record(connection: Connection, test_id: int, now: float) -> None:
    """Record the end of a run, in the transaction that ends it."""
    values = (EventKind.RUN_ENDED.value, str(test_id), test_id, now, "", True)
    add_new(connection, event, dict(zip(_NAMES, values)))


def recorded(locked: Any) -> Any:
    """Return the part of a statement that records the end of the run in ``locked``, at the parameter ``now``."""
    kind, number = literal(EventKind.RUN_ENDED.value), locked.c.test_id
    row = select(
        kind, cast(number, String), number, bindparam("now", type_=event.c.at.type), literal(""), literal(True)
    )
    return insert(event).from_select(list(_NAMES), row).returning(event.c.id).cte("told")
