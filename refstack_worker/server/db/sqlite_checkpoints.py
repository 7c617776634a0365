"""Copying SQLite's write-ahead log into the database while others go on writing.

SQLite itself copies it in the commit that made the log long, and waits twice for the disk: on a busy disk for seconds,
in which no one else can write, not even a heartbeat. Here a thread copies it beside the writers (a *passive*
checkpoint, https://www.sqlite.org/wal.html#ckpt). SQLite can begin the log again only when all of it was copied, which
under constant writing is never quite so: when it has grown much longer, the little that is left is copied while no one
else writes.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)

START_BYTES = 4 * 1024 * 1024
"""Size of the log at which it is copied: about SQLite's own 1,000 pages."""
FINISH_BYTES = 4 * START_BYTES
"""Size at which its rest is copied while no one writes, so that it begins again."""
SETTINGS = ("wal_autocheckpoint = 0", f"journal_size_limit = {START_BYTES}")
"""Of each connection: it copies nothing in a commit, and shortens the log when that begins again, so that the file's
size says how much there is to copy."""
BUSY_SECONDS = 5.0
"""To wait for a process that opens or closes the file; a copy that another process makes is not waited for."""
PAUSE_SECONDS = 0.5
"""Between two copies of one process: each waits for the disk."""
CLOSE_SECONDS = 10.0
"""To wait for a copy that is under way when the database is closed."""


class SqliteCheckpoints:
    """The checkpoints of one process; other processes do theirs, and SQLite lets one at a time."""

    def __init__(self, database: Path, writers: AbstractContextManager[Any]) -> None:
        self._database = database
        self._log = f"{database}-wal"
        self._writers = writers
        self._under_way: threading.Thread | None = None
        self._starting = threading.Lock()
        self._not_before = 0.0

    def wrote(self) -> None:
        """After each transaction: start a checkpoint in a thread when the log is long and none is under way."""
        if self._size() < START_BYTES or time.monotonic() < self._not_before:
            return
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._under_way is None or not self._under_way.is_alive():
                self._under_way = threading.Thread(target=self._copy, name="checkpoint", daemon=True)
                self._under_way.start()
        except RuntimeError:
            LOG.debug("no thread for a checkpoint; the next write tries again")
        finally:
            self._starting.release()

    def hold(self) -> None:
        """Before a fork: wait for a checkpoint and start no other; amid one, the child would inherit SQLite's locks."""
        self._starting.acquire()
        self.close()

    def go_on(self) -> None:
        """After a fork, in the parent: checkpoints may start again."""
        self._starting.release()

    def renew_after_fork(self) -> None:
        """After a fork, in the child, which has none of the parent's threads."""
        self._under_way, self._starting = None, threading.Lock()

    def close(self) -> None:
        """Wait for a checkpoint that is under way."""
        if self._under_way is not None:
            self._under_way.join(CLOSE_SECONDS)

    def _copy(self) -> None:
        try:
            with closing(sqlite3.connect(self._database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                _checkpoint(connection)
                if self._size() >= FINISH_BYTES:
                    with self._writers:
                        _checkpoint(connection)
        except Exception as error:
            # nothing is lost: the log stays as it is, and is copied another time
            LOG.warning("the database's write-ahead log could not be copied: %s", error)
        finally:
            self._not_before = time.monotonic() + PAUSE_SECONDS

    def _size(self) -> int:
        with suppress(OSError):
            return os.stat(self._log).st_size
        return 0


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
