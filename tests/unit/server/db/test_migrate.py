"""Migrations up and down, on data, beside RefStack's own tables. The integration tests run the same on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.engine import Connection

from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import LedgerError
from refstack_worker.server.db import legacy_tables, migrate
from refstack_worker.server.db.database import Database
from refstack_worker.server.domain.results import ResultQuery, Upload
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import PASSES, Clock, claimed, new_run, queued, stream
from tests.support.split_runs import held, split

LEGACY = {
    "user": "id vendor_id name:60 email:200 email_verified openid:200 authorized su",
    "apikey": "id name:60 key:200 openid:200 timestamp user_id",
    "vendor": "id vendor_name:80 contact_email:120 contact_name:120",
    "cloud": "id label:60 endpoint:512 endpoint_v3:512 admin_endpoint:512 test_user:80 alt_user:80 admin_user:80 "
    "version:80 tempest_sha:128 architecture:40 user_id",
    "test": "id cloud_id finished subunit:4096 parsed:4096",
    "test_status": "id test_id message:1024 timestamp",
}
"""The columns, and the lengths of the texts, that RefStack's models have had since 2014."""


@pytest.fixture
def database(settings: ServerSettings) -> Database:
    return Database(settings.database.url)


def shape(connection: Connection, name: str) -> str:
    columns = inspect(connection).get_columns(name)
    lengths = ((column["name"], getattr(column["type"], "length", None)) for column in columns)
    return " ".join(f"{column}:{length}" if length else column for column, length in lengths)


def shapes(connection: Connection) -> dict[str, str]:
    return {name: shape(connection, name) for name in inspect(connection).get_table_names()}


def test_the_legacy_tables_are_as_refstack_has_them(database: Database) -> None:
    migrate.upgrade(database)
    with database.reading() as connection:
        found = shapes(connection)
    assert {name: found[name] for name in LEGACY} == LEGACY


def test_the_models_describe_what_the_migrations_make(database: Database) -> None:
    migrate.upgrade(database)
    with database.reading() as connection:
        found = inspect(connection)
        for table in legacy_tables.METADATA.sorted_tables:
            columns = {column["name"]: column for column in found.get_columns(table.name)}
            assert list(columns) == [column.name for column in table.columns]
            for column in table.columns:
                assert columns[column.name]["nullable"] == column.nullable, column
                assert getattr(columns[column.name]["type"], "length", None) == getattr(column.type, "length", None)
            assert {index["name"] for index in found.get_indexes(table.name)} >= {index.name for index in table.indexes}


def test_an_existing_refstack_is_left_as_it_is(database: Database) -> None:
    with database.writing() as connection:
        legacy_tables.METADATA.create_all(
            connection, tables=[legacy_tables.vendor, legacy_tables.user, legacy_tables.cloud, legacy_tables.test]
        )
        connection.execute(text("ALTER TABLE cloud ADD COLUMN refstacks_own VARCHAR(7)"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('refstack123')"))
        connection.execute(insert(legacy_tables.cloud).values(id=3, label="acme"))
        before = shapes(connection)
    migrate.upgrade(database)
    with database.reading() as connection:
        after = shapes(connection)
        assert {name: after[name] for name in before} == before
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "refstack123"
        assert connection.execute(select(legacy_tables.cloud.c.label)).scalar() == "acme"
    migrate.downgrade(database, "base")
    with database.reading() as connection:
        left = shapes(connection)
        assert {name: left[name] for name in before} == before
        assert not [name for name in left if name.startswith("queue_") and name != migrate.VERSION_TABLE]


def test_down_and_up_again_on_data(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    upload = tmp_path / "result"
    upload.write_bytes(stream(PASSES))
    acceptance.accept(ledger, claimed(ledger).proof, Upload.of(upload, {}))
    claimed(ledger)
    migrate.downgrade(ledger.database, "0001")
    with ledger.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM test")).scalar() == 2
        assert connection.execute(text("SELECT count(*) FROM test_status")).scalar() == 5
    with pytest.raises(LedgerError, match="db upgrade"):
        ledger.runs.find(RunQuery())
    migrate.upgrade(ledger.database)
    assert migrate.current(ledger.database) == migrate.newest()
    assert ledger.runs.find(RunQuery()) == []
    # the tests are still there, and may be run
    assert ledger.runs.add(new_run(test_id=2)).test_id == 2
    assert ledger.results.tests(1, ResultQuery()) == []


def test_several_upgrades_at_once_are_one(settings: ServerSettings) -> None:
    databases = [Database(settings.database.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, databases))
    assert {migrate.current(database) for database in databases} == {migrate.newest()}


def test_check_says_what_to_do(database: Database) -> None:
    with pytest.raises(LedgerError, match="refstack-queue db upgrade"):
        migrate.check(database)
    migrate.upgrade(database)
    migrate.check(database)


def test_a_deleted_test_takes_its_bookkeeping_along(ledger: Ledger) -> None:
    claimed(ledger)
    with ledger.database.writing() as connection:
        connection.execute(text("DELETE FROM test_status"))
        connection.execute(text("DELETE FROM test"))
    assert ledger.runs.find(RunQuery()) == []


def test_down_with_runs_that_are_split(ledger: Ledger) -> None:
    """The software before has neither shards nor a node that would end their run."""
    before = queued(ledger).submission.key.test_id
    run = split(ledger)
    held(ledger, run, 1, "node-1")
    migrate.downgrade(ledger.database, "0015")
    with ledger.database.reading() as connection:
        rows = connection.execute(text("SELECT test_id, kind, state, reason FROM queue_run ORDER BY test_id")).all()
        assert [tuple(row) for row in rows] == [(before, "run", "queued", ""), (run, "run", "failed", "shards")]
        assert connection.execute(text("SELECT count(*) FROM test")).scalar() == 2
        opened = "SELECT test_id FROM queue_attempt WHERE is_open"
        assert [row[0] for row in connection.execute(text(opened))] == [before]
    migrate.upgrade(ledger.database)
    assert [one.test_id for one in ledger.runs.find(RunQuery())] == [run, before]
