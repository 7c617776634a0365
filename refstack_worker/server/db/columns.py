"""Columns that a migration adds and drops, without copying a table.

Alembic's batch mode copies a table and drops the old one. With SQLite's foreign keys on, that deletes the rows of all
tables that refer to it: the attempts, when ``queue_run`` loses a column.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import inspect

SQLITE_DROPS_COLUMNS = (3, 35)
"""Version of SQLite from which on it drops a column in place; before, the column stays and stays empty."""


def add_column(table: str, column: Any) -> None:
    """Add a column unless an earlier downgrade had to leave it."""
    if column.name not in {each["name"] for each in inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column in place."""
    dialect: Any = op.get_bind().dialect
    if dialect.name != "sqlite" or dialect.dbapi.sqlite_version_info >= SQLITE_DROPS_COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
