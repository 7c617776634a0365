"""What the ledger's transactions make of errors."""

from __future__ import annotations

import sqlite3

import pytest

from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import LedgerError
from refstack_worker.server.database import Database


def test_an_error_of_the_driver_itself_is_the_ledgers(settings: ServerSettings) -> None:
    database = Database(settings.database.url)
    with pytest.raises(LedgerError, match="database: it is gone; is the database up"), database.reading():
        raise sqlite3.OperationalError("it is gone")


def test_other_errors_pass(settings: ServerSettings) -> None:
    database = Database(settings.database.url)
    with pytest.raises(ZeroDivisionError), database.reading():
        raise ZeroDivisionError
