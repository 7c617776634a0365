"""The database's revision: Alembic's migrations, which are shipped in the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import column, inspect, select, table, text
from sqlalchemy.engine import Connection

from refstack_worker.errors import LedgerError, UsageError
from refstack_worker.server.db.database import Database

FOLDER = Path(__file__).with_name("migrations")
VERSION_TABLE = "queue_schema"
"""Not Alembic's usual name: RefStack keeps its own migrations in the same database."""
_REVISION: Any = select(column("version_num")).select_from(table(VERSION_TABLE))
"""One for ever: Alembic makes another for each ``/health``, which SQLAlchemy then compiles and keeps as well."""
_LOCK = 7_386_001
"""Number of the lock (PostgreSQL) under which one process at a time migrates."""


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring a database up to a revision; legacy tables that exist are left as they are."""
    with database.writing() as connection:
        _lock(connection)
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Bring a database down to a revision (``base``: before any). RefStack's own tables always stay.

    :raises UsageError: the revision does not exist, or the database is not above it.
    """
    with database.writing() as connection:
        _lock(connection)
        try:
            command.downgrade(_config(connection), revision)
        except CommandError as error:
            raise UsageError(f"revision {revision!r}: {error}; name one from 0001 to {newest()}, or base") from error


def current(database: Database) -> str:
    """Return the revision that a database is at; empty: none."""
    with database.reading() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return ""
        return str(connection.execute(_REVISION).scalar() or "")


@cache  # it reads and runs all the migrations' files, and does not change while the program runs
def newest() -> str:
    """Return the revision that this software needs."""
    return ScriptDirectory.from_config(_config(None)).get_current_head() or ""


def check(database: Database) -> None:
    """Raise :class:`LedgerError` unless the database is at the revision of this software."""
    found, wanted = current(database), newest()
    if found != wanted:
        raise LedgerError(
            f"database: at revision {found or 'none'}, this software needs {wanted}; run 'refstack-queue db upgrade'"
        )


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    attributes["version_table"] = VERSION_TABLE
    return config


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
