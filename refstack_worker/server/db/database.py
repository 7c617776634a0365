"""The connection to the ledger's database: SQLite for one machine, PostgreSQL for a fleet.

A writing transaction on SQLite begins ``IMMEDIATE``, so that two of them never deadlock on the way from reading to
writing; on PostgreSQL the rows that matter are locked by the queries.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from refstack_worker.errors import ConfigError, LedgerError
from refstack_worker.server.db import sqlite_checkpoints
from refstack_worker.server.db.prepared import prepare_statements
from refstack_worker.server.db.sqlite_checkpoints import SqliteCheckpoints
from refstack_worker.server.db.sqlite_writers import SqliteWriters

BUSY_SECONDS = 30
"""How long a writer waits for another before it gives up (SQLite), and a connect for an answer (PostgreSQL)."""
BUSY_PAUSE = 0.02
"""Seconds between two tries where SQLite itself does not wait."""
_WAL_REFUSALS = ("locked", "locking protocol")
"""What SQLite says while another process writes, and while others switch the same new file; both pass."""
CONNECTIONS = 20
"""Per process, for transactions and single statements together, and as many again at peaks. A request holds one for a
few milliseconds."""
IDLE_SECONDS = 1.0
"""Age of its last use at which a connection is asked whether it is still there."""
_TODO = "use sqlite:////PATH, or postgresql://USER@HOST/DATABASE with psycopg2"
_WRITING = "refstack_writing"
_USED = "refstack_used"


class Database:
    """Transactions on one database; safe to use from several threads and after a fork."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        # connections of its own: to switch one to and fro takes as long as a statement
        self._single = self.engine if self.engine.dialect.name == "sqlite" else _engine(url, is_single=True)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writers: Any = nullcontext()
        if self.is_sqlite:
            path = Path(self.engine.url.database or "")
            self._writers = SqliteWriters(path)
            self._checkpoints = SqliteCheckpoints(path, self._writers)
        _prepare_for_forks(self)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that changes nothing. :raises LedgerError: the database cannot be reached.

        On PostgreSQL each statement sees what is committed when it begins, also within a transaction, so there none is
        begun: that saves two round trips.
        """
        if not self.is_sqlite:
            with self.one_statement() as connection:
                yield connection
            return
        with _translated(self.engine), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that sees a single moment for as long as it lasts, and blocks nothing.

        :raises LedgerError: as above.
        """
        with _translated(self.engine), self.engine.connect() as plain:
            level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            connection = plain.execution_options(**level)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, is_lasting: bool = True) -> Iterator[Connection]:
        """A transaction that is committed unless an error leaves it.

        :param is_lasting: false for what comes again by itself: SQLite then does not wait for the disk, while others
            wait to write, and a power failure undoes it. The end of a process does not.
        :raises LedgerError: as above.
        """
        with _translated(self.engine), self._writers, self.engine.connect() as plain:
            connection = plain.execution_options(**{_WRITING: "FULL" if is_lasting else "NORMAL"})
            with connection.begin():
                yield connection
        if self.is_sqlite:
            self._checkpoints.wrote()

    @contextmanager
    def one_statement(self) -> Iterator[Connection]:
        """A connection on which each statement is a transaction of its own: one round trip in place of four.

        PostgreSQL only. :raises LedgerError: as above.
        """
        with _translated(self._single), self._single.connect() as connection:
            yield connection

    @contextmanager
    def single_write(self) -> Iterator[Connection]:
        """A connection for one statement that changes something. :raises LedgerError: as above."""
        with self.writing() if self.is_sqlite else self.one_statement() as connection:
            yield connection

    def hold_for_fork(self) -> None:
        """Let no thread of this object be at work while the process forks."""
        if self.is_sqlite:
            self._checkpoints.hold()

    def go_on_after_fork(self) -> None:
        """After the fork, in the parent: threads may work again."""
        if self.is_sqlite:
            self._checkpoints.go_on()

    def renew_after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self.engine.dispose(close=False)
        self._single.dispose(close=False)
        if self.is_sqlite:
            self._writers.renew_after_fork()
            self._checkpoints.renew_after_fork()

    def close(self) -> None:
        self.engine.dispose()
        self._single.dispose()
        if self.is_sqlite:
            self._checkpoints.close()
            self._writers.close()


def url_of(text: str) -> Any:
    """Return the parts of a ``DATABASE_URL``. :raises ConfigError: it is not one; its password is not shown."""
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "DATABASE_URL: not an SQLAlchemy URL, e.g. postgresql://refstack@host:5432/refstack; "
            "is the port a number, and is each special letter of the password written as %XX?"
        ) from None


def check_url(text: str) -> None:
    """See that a ``DATABASE_URL`` names a database and a driver that can be used, without connecting to it.

    :raises ConfigError: it does not, or no SQLite file can be where it says.
    """
    url = _usable_url(text)
    try:
        is_async = getattr(create_engine(url).dialect, "is_async", False)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise _unusable(url, error) from None
    if is_async:
        raise ConfigError(f"DATABASE_URL: driver {url.drivername!r} is asynchronous; {_TODO}")
    if url.get_backend_name() != "sqlite":
        return
    path = Path(url.database)
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not existing.is_dir():
        wrong = f"{path} is a folder" if path.is_dir() else f"{existing} is not a folder"
        raise ConfigError(f"DATABASE_URL: {wrong}; name a file, e.g. sqlite:////var/lib/x.sqlite")


def _usable_url(text: str) -> Any:
    url = url_of(text)
    backend = url.get_backend_name()
    if backend == "sqlite" and (not url.database or url.database == ":memory:"):
        raise ConfigError(
            "DATABASE_URL: an SQLite database in memory is lost; name a file, e.g. sqlite:////var/lib/x.sqlite"
        )
    if backend not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(f"DATABASE_URL: {backend!r} databases are not supported; {_TODO}")
    if url.drivername in ("postgresql", "postgres"):
        # which driver that means depends on SQLAlchemy's version; psycopg2 is what Debian has
        url = url.set(drivername="postgresql+psycopg2")
    return url


def _unusable(url: Any, error: Exception) -> ConfigError:
    if url.drivername == "postgresql+psycopg2" and isinstance(error, ImportError):
        return ConfigError(f"DATABASE_URL: {error}; install psycopg2 (package python3-psycopg2) for PostgreSQL")
    return ConfigError(f"DATABASE_URL: driver {url.drivername!r} cannot be used: {error}; {_TODO}")


def _engine(text: str, is_single: bool = False) -> Engine:
    url = _usable_url(text)
    try:
        if url.get_backend_name() == "sqlite":
            return _sqlite(url)
        arguments = {"connect_timeout": BUSY_SECONDS} if url.get_backend_name() == "postgresql" else {}
        engine = create_engine(
            url,
            future=True,
            hide_parameters=True,
            # the same few are used again and again, so that they are known to be good
            pool_use_lifo=True,
            pool_size=CONNECTIONS // 2,
            max_overflow=CONNECTIONS // 2,
            connect_args=arguments,
            **({"isolation_level": "AUTOCOMMIT"} if is_single else {}),
        )
        _ping_when_idle(engine)
        if url.get_backend_name() == "postgresql":
            prepare_statements(engine)
        return engine
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise _unusable(url, error) from None


def _sqlite(url: Any) -> Engine:
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"DATABASE_URL: folder {folder} cannot be created: {error.strerror}") from None
    engine = create_engine(
        url,
        future=True,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=CONNECTIONS,
        max_overflow=CONNECTIONS,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # transactions are begun by _begin_sqlite, not by the driver's guess
    connection.isolation_level = None
    _use_wal(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON", *sqlite_checkpoints.SETTINGS):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: Any) -> None:
    """Switch a new file to write-ahead logging; while another process writes, SQLite refuses that and does not wait."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not any(word in str(error) for word in _WAL_REFUSALS) or time.monotonic() > deadline:
                raise
        time.sleep(BUSY_PAUSE)


def _begin_sqlite(connection: Connection) -> None:
    synchronous = connection.get_execution_options().get(_WRITING)
    if synchronous:
        connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if synchronous else "BEGIN")


def _ping_when_idle(engine: Engine) -> None:
    """Ask a connection whether it is still there when it was idle for a moment; to ask each time costs much."""

    def put_back(_connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    def take(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED, 0.0) < IDLE_SECONDS:
            return
        dialect: Any = engine.dialect
        try:
            is_there = dialect.do_ping(connection)
        except dialect.dbapi.Error:
            is_there = False
        if not is_there:
            # the others are most likely gone as well
            raise InvalidatePoolError()

    event.listen(engine, "checkin", put_back)
    event.listen(engine, "checkout", take)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    dialect: Any = engine.dialect
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise LedgerError("database: all connections are in use; does the database answer?") from error
    except DBAPIError as error:
        raise _away(error.orig or error) from error
    except dialect.dbapi.Error as error:
        # of the driver itself: what puts a connection back in order before it is put back does not translate it
        raise _away(error) from error


def _away(error: BaseException) -> LedgerError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    missing = "no such table" in said[0] or "does not exist" in said[0]
    todo = "run 'refstack-queue db upgrade'" if missing else "is the database up, and is DATABASE_URL right?"
    return LedgerError(f"database: {said[0]}; {todo}")


def _prepare_for_forks(database: Database) -> None:
    reference = weakref.ref(database)

    def of(act: Callable[[Database], None]) -> Callable[[], None]:
        def of_what_is_left() -> None:
            found = reference()
            if found is not None:
                act(found)

        return of_what_is_left

    os.register_at_fork(
        before=of(Database.hold_for_fork),
        after_in_parent=of(Database.go_on_after_fork),
        after_in_child=of(Database.renew_after_fork),
    )
