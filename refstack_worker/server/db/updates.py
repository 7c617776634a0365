"""Updates of a run and of an attempt, put together once for each set of columns.

To put an update together takes SQLAlchemy several times as long as to send it, and every call of a worker has some.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.engine import Connection

from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import AttemptKey

IS_ATTEMPT = (queue_tables.attempt.c.test_id == bindparam("of_test")) & (
    queue_tables.attempt.c.attempt == bindparam("of_attempt")
)
"""The condition that picks one row of ``queue_attempt``."""


def change_run(
    connection: Connection, test_id: int, values: Mapping[str, Any], counted: frozenset[str] = frozenset()
) -> None:
    """Set columns of a run's row. :param counted: columns that grow by one."""
    if values or counted:
        connection.execute(_of_run(frozenset(values), counted), {"of_test": test_id, **_renamed(values)})


def change_attempt(connection: Connection, key: AttemptKey, values: Mapping[str, Any]) -> None:
    """Set columns of an attempt's row."""
    parameters = {"of_test": key.test_id, "of_attempt": key.attempt, **_renamed(values)}
    connection.execute(_of_attempt(frozenset(values)), parameters)


@cache  # one for each set of columns that this package changes
def _of_run(names: frozenset[str], counted: frozenset[str]) -> Any:
    columns = queue_tables.run.c
    values = {**_bound(names), **{name: columns[name] + 1 for name in sorted(counted)}}
    return update(queue_tables.run).where(columns.test_id == bindparam("of_test")).values(values)


@cache
def _of_attempt(names: frozenset[str]) -> Any:
    return update(queue_tables.attempt).where(IS_ATTEMPT).values(_bound(names))


def _bound(names: frozenset[str]) -> dict[str, Any]:
    return {name: bindparam(f"new_{name}") for name in sorted(names)}


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    # a parameter must not have the name of a column that is changed
    return {f"new_{name}": value for name, value in values.items()}
