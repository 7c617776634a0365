"""PostgreSQL itself: a connection that it ends in the middle, and its clock."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from sqlalchemy import text

from refstack_worker.errors import LedgerError
from refstack_worker.server.db.clock import note_skew
from refstack_worker.server.db.database import Database
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import make_settings


def test_a_connection_that_ends_before_it_is_put_back(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.one_statement() as connection:
        connection.execute(text("SELECT 1"))
    with database.one_statement() as connection:
        number = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with database.reading() as other:
            assert other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": number}).scalar()
    # nothing is asked of the server when the connection is put back: the next statement finds out
    with pytest.raises(LedgerError, match="is the database up"), database.one_statement() as connection:
        connection.execute(text("SELECT 1"))
    with database.one_statement() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    database.close()


def test_each_machine_notes_how_far_its_clock_is_off(postgresql_url: str, tmp_path: Path) -> None:
    ledger = Ledger(make_settings(tmp_path, DATABASE_URL=postgresql_url))
    ledger.upgrade()
    ledger.clock()
    (machine,) = ledger.server_clocks.recent()
    assert machine.name == socket.gethostname() and abs(machine.skew) < 5
    with ledger.database.one_statement() as connection:
        note_skew(connection, -65.0, ledger.clock())
    assert [one.skew for one in ledger.server_clocks.recent()] == [-65.0]
    ledger.close()
