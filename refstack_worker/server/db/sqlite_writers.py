"""Whose turn it is to write into an SQLite database, among the threads and processes of one machine.

SQLite's own waiting sleeps and polls, longer each time: of many writers one may wait for seconds while others that came
later get their turn. The kernel's lock on a file beside the database wakes those that wait as soon as it is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path

from refstack_worker.errors import LedgerError

WAIT_SECONDS = 30.0
"""For a turn within a process. Of each process one thread at most waits longer, if another process holds its turn but
does not go on."""
ENDING = "-lock"
"""Of the file's name, after that of the database."""


class SqliteWriters:
    """A context in which one thread of all processes is at a time."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> None:
        """Wait for the turn. :raises LedgerError: others hold it for too long."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise LedgerError(f"the database is busy: no turn to write within {WAIT_SECONDS:g} s")
        try:
            self._flock(fcntl.LOCK_EX)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_about: object) -> None:
        try:
            self._flock(fcntl.LOCK_UN)
        finally:
            self._lock.release()

    def renew_after_fork(self) -> None:
        """Leave the parent's lock to the parent: the same open file would be the same lock."""
        self.close()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file; the next writer opens it again."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _flock(self, operation: int) -> None:
        # where the file cannot be had, SQLite's own waiting has to do
        with contextlib.suppress(OSError):
            if self._file is None:
                self._file = _opened(self._database)
            fcntl.flock(self._file, operation)


def _opened(database: Path) -> int:
    """Open the file, made with mode and owner of the database, as SQLite does with those that it keeps beside it."""
    name = f"{database}{ENDING}"
    try:
        return os.open(name, os.O_RDONLY)
    except FileNotFoundError:
        of = database.stat()
        made = os.open(name, os.O_RDONLY | os.O_CREAT, of.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(made, of.st_uid, of.st_gid)
        return made
