"""Statements that PostgreSQL plans once for each connection, and what may take them away."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import String, bindparam, literal_column, select, text
from sqlalchemy.exc import IntegrityError

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import LedgerError
from refstack_worker.server.db.database import Database
from refstack_worker.server.db.prepared import MAX_STATEMENTS, PREPARED
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import claimed

KEPT = text("SELECT count(*) FROM pg_prepared_statements")
DOUBLE = text("SELECT CAST(:number AS integer) * 2 AS twice").execution_options(**PREPARED)


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    made = Database(postgresql_url)
    yield made
    made.close()


def test_a_statement_is_prepared_once_and_gives_what_it_gave(database: Database) -> None:
    with database.one_statement() as connection:
        assert [connection.execute(DOUBLE, {"number": number}).scalar_one() for number in (1, 2, 30)] == [2, 4, 60]
        assert connection.execute(KEPT).scalar_one() == 1
    with database.writing() as connection:
        # a connection of its own
        assert connection.execute(KEPT).scalar_one() == 0
        assert connection.execute(DOUBLE, {"number": 4}).scalar_one() == 8


def test_parameters_used_twice_none_and_percent_signs(database: Database) -> None:
    given, other = bindparam("given", type_=String()), bindparam("other", type_=String())
    question = select(
        literal_column("'100 %'").label("share"), other.label("one"), other.label("two"), given.is_(None).label("none")
    ).execution_options(**PREPARED)
    with database.one_statement() as connection:
        for name in ("a", "it's", None):
            row = connection.execute(question, {"given": None, "other": name}).mappings().one()
            assert dict(row) == {"share": "100 %", "one": name, "two": name, "none": True}
        assert connection.execute(KEPT).scalar_one() == 1


def test_a_connection_keeps_only_so_many(database: Database) -> None:
    with database.one_statement() as connection:
        for number in range(MAX_STATEMENTS + 5):
            asked = text(f"SELECT {number}").execution_options(**PREPARED)
            assert connection.execute(asked).scalar_one() == number
        assert connection.execute(KEPT).scalar_one() == MAX_STATEMENTS


def test_a_statement_that_is_gone_is_an_error_once_and_none_is_prepared_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    # as behind a pooler that gives each transaction another connection
    with database.one_statement() as connection:
        connection.execute(DOUBLE, {"number": 1})
        connection.execute(text("DEALLOCATE ALL"))
    with pytest.raises(LedgerError, match="does not exist"), database.one_statement() as connection:
        connection.execute(DOUBLE, {"number": 1})
    with database.one_statement() as connection:
        assert connection.execute(DOUBLE, {"number": 2}).scalar_one() == 4
        assert connection.execute(KEPT).scalar_one() == 0
    (said,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "pool_mode = session" in said.getMessage()


def test_a_table_that_changed_is_an_error_once(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE changing (value integer)"))
        connection.execute(text("INSERT INTO changing VALUES (7)"))
    asked = text("SELECT value FROM changing").execution_options(**PREPARED)
    with database.one_statement() as connection:
        assert connection.execute(asked).scalar_one() == 7
        connection.execute(text("ALTER TABLE changing ALTER COLUMN value TYPE text"))
    with pytest.raises(LedgerError, match="cached plan"), database.one_statement() as connection:
        connection.execute(asked)
    with database.one_statement() as connection:
        assert connection.execute(asked).scalar_one() == "7"
        assert connection.execute(KEPT).scalar_one() == 2


def test_what_the_database_refuses_is_refused_as_before(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE single (value integer PRIMARY KEY)"))
    add = text("INSERT INTO single VALUES (:value)").execution_options(**PREPARED)
    with database.one_statement() as connection:
        connection.execute(add, {"value": 1})
    with pytest.raises(IntegrityError), database.one_statement() as connection:
        connection.execute(add, {"value": 1})
    nothing = text("SELECT 1 FROM nowhere").execution_options(**PREPARED)
    with pytest.raises(LedgerError, match="db upgrade"), database.writing() as connection:
        connection.execute(nothing)


def test_the_life_of_a_run_goes_on_when_its_statements_are_gone(ledger: Ledger) -> None:
    job = claimed(ledger)
    ledger.attempts.report(job.proof, Report(RunState.BUILDING))
    with ledger.database.one_statement() as connection:
        connection.execute(text("DEALLOCATE ALL"))
    with pytest.raises(LedgerError):
        ledger.attempts.report(job.proof, Report(RunState.RUNNING))
    ledger.attempts.report(job.proof, Report(RunState.RUNNING))
    assert ledger.runs.get(job.submission.key.test_id).state is RunState.RUNNING
