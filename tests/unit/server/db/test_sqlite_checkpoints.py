"""SQLite's log is copied beside the writers, and begins again."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from refstack_worker.server.db import sqlite_checkpoints
from refstack_worker.server.db.database import Database
from refstack_worker.server.db.sqlite_writers import SqliteWriters
from tests.support.worker_parts import eventually

START = 200_000
ROW = 20_000


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sqlite_checkpoints, "START_BYTES", START)
    monkeypatch.setattr(sqlite_checkpoints, "FINISH_BYTES", 4 * START)
    monkeypatch.setattr(sqlite_checkpoints, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_checkpoints, "SETTINGS", ("wal_autocheckpoint = 0", f"journal_size_limit = {START}"))
    return tmp_path / "x.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{path}")
    with made.writing() as connection:
        connection.execute(text("CREATE TABLE t (x blob)"))
    yield made
    made.close()


def write(database: Database, rows: int) -> None:
    for _ in range(rows):
        with database.writing(is_lasting=False) as connection:
            connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": os.urandom(ROW)})


def log_size(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


def test_a_commit_copies_nothing_itself(database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_checkpoints, "START_BYTES", 1 << 40)
    before = path.stat().st_size
    write(database, 300)
    assert path.stat().st_size == before, "6 MB are more than SQLite's own 1,000 pages"


def test_the_log_is_copied_while_somebody_else_holds_the_turn_to_write(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(sqlite_checkpoints, "START_BYTES", 1 << 40)
        write(database, 20)
    before, written = path.stat().st_size, 20 * ROW
    writers, is_held, may_end = SqliteWriters(path), threading.Event(), threading.Event()

    def hold() -> None:
        with writers:
            is_held.set()
            may_end.wait(40)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert is_held.wait(20)
        database._checkpoints.wrote()
        eventually(lambda: path.stat().st_size > before + written)
    finally:
        may_end.set()
        holder.join()
        writers.close()


def test_the_log_begins_again_while_others_write_all_the_time(database: Database, path: Path) -> None:
    sizes, is_over = [0], threading.Event()

    def keep_writing() -> None:
        while not is_over.is_set():
            write(database, 1)

    def has_begun_again() -> bool:
        sizes.append(log_size(path))
        return sizes[-1] < max(sizes)

    threads = [threading.Thread(target=keep_writing) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(has_begun_again, 60)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    with database.reading() as connection:
        rows, size = connection.execute(text("SELECT count(*), sum(length(x)) FROM t")).one()
    # on a slow machine the first copy is whole before the next row, and no one has to wait for the log to grow
    assert rows >= START // ROW and size == rows * ROW


def test_all_is_there_after_the_end(path: Path) -> None:
    first = Database(f"sqlite:///{path}")
    with first.writing() as connection:
        connection.execute(text("CREATE TABLE t (x blob)"))
    write(first, 60)
    first.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (60,)
    assert not Path(f"{path}-wal").exists()


def test_a_fork_in_the_middle_of_a_copy_waits_for_it(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_end, order = threading.Event(), threading.Event(), []

    def slow(_connection: sqlite3.Connection) -> None:
        has_begun.set()
        may_end.wait(20)
        order.append("copied")

    monkeypatch.setattr(sqlite_checkpoints, "_checkpoint", slow)
    write(database, 30)
    assert has_begun.wait(20)
    threading.Timer(0.3, may_end.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if order else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    write(database, 30)
    eventually(lambda: len(order) > 1)


def test_a_child_does_not_wait_for_its_parents_thread(database: Database, path: Path) -> None:
    write(database, 30)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            write(database, 30)
            database.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 60


def test_a_log_that_cannot_be_copied_stays_and_is_named(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite_checkpoints, "_checkpoint", full)
        write(database, 30)
        eventually(lambda: "write-ahead log could not be copied: database or disk is full" in caplog.text)
    before = path.stat().st_size

    def is_copied() -> bool:
        # the failed one may not have ended yet
        database._checkpoints.wrote()
        return path.stat().st_size > before

    eventually(is_copied)
