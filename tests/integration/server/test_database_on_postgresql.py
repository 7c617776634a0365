"""A connection that the server ends in the middle."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from refstack_worker.errors import LedgerError
from refstack_worker.server.db.database import Database


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
