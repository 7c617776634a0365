"""Rows that are added unless another process has added them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def add_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Add a row; return False if one with the same key is there already, and leave that one as it is."""
    kind: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = connection.execute(kind.insert(table).values(row).on_conflict_do_nothing())
    return bool(added.rowcount == 1)
