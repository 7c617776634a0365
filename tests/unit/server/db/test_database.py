"""What the ledger's transactions make of errors."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import LedgerError
from refstack_worker.server.db import database as database_module
from refstack_worker.server.db.database import Database


def test_an_error_of_the_driver_itself_is_the_ledgers(settings: ServerSettings) -> None:
    database = Database(settings.database.url)
    with pytest.raises(LedgerError, match="database: it is gone; is the database up"), database.reading():
        raise sqlite3.OperationalError("it is gone")


def test_too_few_connections_are_the_ledgers_trouble(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database hangs, each request holds one, and the next ones wait in vain."""
    database = Database(settings.database.url)
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.05)
    with ExitStack() as held:
        for _ in range(2 * database_module.CONNECTIONS):
            held.enter_context(database.engine.connect())
        with pytest.raises(LedgerError, match="database: all connections are in use"), database.reading():
            pytest.fail("there is none")
    with database.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_other_errors_pass(settings: ServerSettings) -> None:
    database = Database(settings.database.url)
    with pytest.raises(ZeroDivisionError), database.reading():
        raise ZeroDivisionError


def test_a_new_file_in_which_somebody_writes_is_waited_for(settings: ServerSettings) -> None:
    path = settings.database.url.partition("///")[2]
    first = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    first.execute("CREATE TABLE made (by text)")
    first.execute("BEGIN IMMEDIATE")
    first.execute("INSERT INTO made VALUES ('the first')")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(path, timeout=30).execute("PRAGMA journal_mode = WAL")
    threading.Timer(0.2, lambda: first.execute("COMMIT")).start()
    database = Database(settings.database.url)
    with database.reading() as connection:
        assert connection.execute(text("SELECT by FROM made")).scalar() == "the first"
    database.close()
    first.close()


def test_a_new_file_that_several_processes_switch_at_once_is_waited_for() -> None:
    class Racing:
        """A connection while another process switches the same file, which cannot be had at will."""

        tries = 0

        def execute(self, _statement: str) -> None:
            self.tries += 1
            if self.tries == 1:
                raise sqlite3.OperationalError("locking protocol")
            if self.tries == 3:
                raise sqlite3.OperationalError("disk I/O error")

    connection = Racing()
    database_module._use_wal(connection)
    assert connection.tries == 2
    with pytest.raises(sqlite3.OperationalError, match="disk"):
        database_module._use_wal(connection)


def test_what_comes_again_by_itself_does_not_wait_for_the_disk(settings: ServerSettings) -> None:
    database, seen = Database(settings.database.url), []
    for is_lasting in (True, False, True):
        with database.writing(is_lasting) as connection:
            seen.append(connection.execute(text("PRAGMA synchronous")).scalar())
    database.close()
    assert seen == [2, 1, 2], "full, normal, and full again on the same connection"
