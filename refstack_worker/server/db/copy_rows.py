"""All rows of the database as files, one a table, and back, on SQLite and PostgreSQL, also from one to the other.

A line is a JSON object of a row. Bytes and times, which JSON does not have, are objects with one key:
``{"$bytes": …}``, ``{"$time": …}``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, delete, func, insert, select, text
from sqlalchemy.engine import Connection

from refstack_worker.errors import BackupError
from refstack_worker.server.db.legacy_tables import METADATA
from refstack_worker.server.db.migrate import VERSION_TABLE

AT_ONCE = 200
"""Rows that are read or written together."""

PREFIX = "queue_"
"""Of the names of all tables that are not RefStack's own."""

OWN_NOTES = frozenset({"queue_rate", "queue_server"})
"""Tables that a running service fills by itself: how often it was called, and its clock."""

WORDS = {
    "queue_run": "run",
    "test": "test",
    "user": "user",
    "vendor": "vendor",
    "queue_token": "token",  # nosec B105 - a word
    "cloud": "cloud",
    "queue_guideline": "guideline",
    "queue_schedule": "schedule",
    "queue_node": "worker",
    "queue_audit": "audit log line",
}
"""Tables to what one of their rows is called, as far as people know them by name."""


def tables(connection: Connection) -> list[Table]:
    """Return the tables as they are in the database now, each after those that it refers to."""
    found = MetaData()
    legacy = set(METADATA.tables)
    found.reflect(
        connection, only=lambda name, _: name != VERSION_TABLE and (name.startswith(PREFIX) or name in legacy)
    )
    return [table for table in found.sorted_tables if table.name.startswith(PREFIX) or table.name in legacy]


def write(connection: Connection, folder: Path) -> dict[str, int]:
    """Write every table below a folder and return the number of rows of each."""
    counts = {}
    for table in tables(connection):
        question = select(table).order_by(*table.primary_key.columns)
        counts[table.name] = 0
        with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
            rows = connection.execution_options(stream_results=True).execute(question).mappings()
            while some := rows.fetchmany(AT_ONCE):
                file.writelines(json.dumps(dict(row), default=_shown) + "\n" for row in some)
                counts[table.name] += len(some)
    return counts


def read(connection: Connection, folder: Path) -> None:
    """Put the rows below a folder into the database, whose tables are empty.

    :raises BackupError: a row has a column that the database does not have.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    for table in tables(connection):
        path = folder / f"{table.name}.jsonl"
        if path.exists():
            for some in _batches(_rows(path)):
                _insert(connection, table, some)


def empty(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    for table in reversed(tables(connection)):
        connection.execute(delete(table))


def contents(connection: Connection) -> dict[str, int]:
    """Return the tables that hold rows, by name, with their number of rows. The migrations fill none of them.

    What the services write by themselves (:data:`OWN_NOTES`) is left out: it is there before anyone uses the server.
    """
    found = {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)
        for table in tables(connection)
        if table.name not in OWN_NOTES
    }
    return {name: rows for name, rows in found.items() if rows}


def described(found: Mapping[str, int]) -> str:
    """Return :func:`contents` in words: what people know by name, and the sum of the other rows."""
    known = [f"{found[name]} {word}{'s' * (found[name] != 1)}" for name, word in WORDS.items() if name in found]
    others = sum(rows for name, rows in found.items() if name not in WORDS)
    if others:
        known.append(f"{others} {'other ' if known else ''}row{'s' * (others != 1)}")
    return ", ".join(known)


def advance_ids(connection: Connection, by: int) -> None:
    """Let new rows have ids that no row of the lost database had (PostgreSQL; SQLite takes the next free one)."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables(connection):
        for column in table.primary_key.columns:
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"),
                {"table": f'"{table.name}"', "column": column.name},
            ).scalar()
            if sequence:
                newest = connection.execute(select(func.max(column))).scalar() or 0
                connection.execute(
                    text("SELECT setval(:sequence, :value)"), {"sequence": sequence, "value": newest + by}
                )


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    unknown = sorted(set(rows[0]) - set(table.columns.keys()))
    if unknown:
        raise BackupError(f"table {table.name} has no column {', '.join(unknown)}: the backup is of another revision")
    connection.execute(insert(table), list(rows))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line, object_hook=_value)


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while some := list(islice(iterator, AT_ONCE)):
        yield some


def _shown(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return {"$bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    raise BackupError(f"a value of type {type(value).__name__} cannot be kept")


def _value(found: dict[str, Any]) -> Any:
    if set(found) == {"$bytes"}:
        return base64.b64decode(found["$bytes"])
    if set(found) == {"$time"}:
        return datetime.fromisoformat(found["$time"])
    return found
