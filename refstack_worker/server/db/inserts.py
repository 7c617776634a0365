"""Rows that are added: one unless another process has added it, or many at once."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def add_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Add a row; return False if one with the same key is there already, and leave that one as it is."""
    kind: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = connection.execute(kind.insert(table).values(row).on_conflict_do_nothing())
    return bool(added.rowcount == 1)


def add_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that have a value for each column: texts, numbers or booleans.

    PostgreSQL gets them as one JSON text. A parameter for each value, as SQLAlchemy sends them, takes this process
    three times as long, and it holds Python's lock all the while.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), [dict(row) for row in rows])
    else:
        connection.execute(_from_json(table), {"rows": json.dumps(rows, ensure_ascii=False, allow_nan=False)})


@functools.cache
def _from_json(table: Table) -> Any:
    """Return the statement that adds the rows of a table in a JSON text."""
    text = cast(bindparam("rows", type_=Text), postgresql.JSON)
    columns = [column(each.name, each.type) for each in table.c]
    given = func.json_to_recordset(text).table_valued(*columns).render_derived(name="given", with_types=True)
    return insert(table).from_select([each.name for each in columns], select(*given.c))
