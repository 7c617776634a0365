"""Writers of several processes follow each other without polling."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from refstack_worker.errors import LedgerError
from refstack_worker.server.db import sqlite_writers
from refstack_worker.server.db.database import Database
from refstack_worker.server.db.sqlite_writers import ENDING, SqliteWriters

HOLDS = """
import sys
from pathlib import Path
from refstack_worker.server.db.sqlite_writers import SqliteWriters
with SqliteWriters(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"")
    return path


def holder(database: Path) -> subprocess.Popen[str]:
    """Return another process that holds the turn until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def turn(database: Path) -> tuple[threading.Thread, threading.Event]:
    """Return a thread that writes into the database, and what is set when it has."""
    done = threading.Event()

    def write() -> None:
        made = Database(f"sqlite:///{database}")
        with made.writing() as connection:
            connection.execute(text("CREATE TABLE t (x integer)"))
        made.close()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    return thread, done


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_writer_waits_for_another_process_and_no_longer(database: Path, is_killed: bool) -> None:
    with holder(database) as other:
        thread, done = turn(database)
        assert not done.wait(0.5)
        if is_killed:
            other.kill()
        else:
            other.communicate()
        thread.join(20)
    assert done.is_set()


def test_a_child_does_not_share_its_parents_turn(database: Path) -> None:
    mine = SqliteWriters(database)
    reads, writes = os.pipe()
    with mine:
        child = os.fork()
        if child == 0:
            mine.renew_after_fork()
            with mine:
                os.write(writes, b"in")
            os._exit(0)
        os.close(writes)
        assert not select.select([reads], [], [], 0.5)[0]
    assert os.read(reads, 2) == b"in"
    os.waitpid(child, 0)
    os.close(reads)
    mine.close()


def test_the_file_has_the_mode_of_the_database(database: Path) -> None:
    database.chmod(0o600)
    with SqliteWriters(database):
        pass
    assert Path(f"{database}{ENDING}").stat().st_mode & 0o777 == 0o600


def test_without_the_file_sqlites_own_waiting_has_to_do(database: Path) -> None:
    Path(f"{database}{ENDING}").symlink_to(database.parent / "gone" / "x")
    thread, done = turn(database)
    thread.join(20)
    assert done.is_set()


def test_a_process_that_holds_its_turn_for_ever_costs_one_thread(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writers, "WAIT_SECONDS", 0.2)
    writers, has_begun, done = SqliteWriters(database), threading.Event(), threading.Event()
    flock = fcntl.flock

    def noting(file: int, operation: int) -> None:
        has_begun.set()
        flock(file, operation)

    def write() -> None:
        with writers:
            done.set()

    monkeypatch.setattr(fcntl, "flock", noting)
    with holder(database) as other:
        first = threading.Thread(target=write)
        first.start()
        assert has_begun.wait(20)
        with pytest.raises(LedgerError, match="the database is busy"), writers:
            pass
        assert not done.is_set()
        other.communicate()
        first.join(20)
    assert done.is_set()
