"""The clock of the ledger: the database's, because the machines of a fleet's server may disagree on the time."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import insert, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import LedgerError
from refstack_worker.server.db.database import Database
from refstack_worker.server.db.queue_tables import server

LOG = logging.getLogger(__name__)

ASK_SECONDS = 10.0
"""Between two questions for the time; in between, the machine's steady clock counts on."""
MAX_TRIP = 1.0
"""Seconds for an answer; a slower one is not believed when an older one is known."""
NOTABLE_SKEW = 5.0
"""Seconds between the machine's clock and the database's that are logged."""
NOTE_SECONDS = 60.0
"""Between two notes of the skew in the database, unless it changes by more than a second."""
_NOW = text("SELECT extract(epoch FROM clock_timestamp())")


def steady_asleep() -> float:
    """Return the seconds of a clock that cannot be set and that also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Clocks:
    """The two clocks of a machine, in seconds."""

    steady: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class DatabaseClock:
    """Seconds since 1970 by the clock of the database; safe to use from several threads."""

    def __init__(
        self,
        ask: Callable[[], float],
        clocks: Clocks | None = None,
        note: Callable[[float, float], None] | None = None,
    ) -> None:
        """
        :param ask: returns the database's time; raises :class:`LedgerError` when it cannot be reached.
        :param note: keeps the skew of this machine and the time at which it was measured; may raise the same.
        """
        self._ask = ask
        self._note = note
        self._noted: tuple[float, float] | None = None
        """Steady time and skew of the last note."""
        self._clocks = clocks or Clocks(steady_asleep)
        self._asking = threading.Lock()
        self._ask_at = 0.0
        self._offset: float | None = None
        """Database's time less the steady clock."""
        self.skew = 0.0
        """Seconds by which this machine's clock is ahead of the database's."""

    def __call__(self) -> float:
        now = self._clocks.steady()
        if (self._offset is None or now >= self._ask_at) and self._asking.acquire(blocking=self._offset is None):
            try:
                self._set()
            finally:
                self._asking.release()
        # a database that never answered gives nothing to compare times with
        return self._clocks.wall() if self._offset is None else self._clocks.steady() + self._offset

    def _set(self) -> None:
        began = self._clocks.steady()
        try:
            answer = self._ask()
        except LedgerError:
            return
        ended = self._clocks.steady()
        if self._offset is not None and ended - began > MAX_TRIP:
            return
        self._ask_at = ended + ASK_SECONDS
        self._offset = answer - (began + ended) / 2
        skew = self._clocks.wall() - ended - self._offset
        if abs(skew) > NOTABLE_SKEW and abs(skew - self.skew) > NOTABLE_SKEW:
            LOG.warning(
                "this machine's clock is %+.0f s off the database's clock, which is used; is NTP running?", skew
            )
        self.skew = skew
        self._keep_note(ended)

    def _keep_note(self, now: float) -> None:
        is_known = (
            self._noted is not None and now - self._noted[0] < NOTE_SECONDS and abs(self.skew - self._noted[1]) <= 1
        )
        if self._note is None or self._offset is None or is_known:
            return
        self._noted = (now, self.skew)
        try:
            self._note(self.skew, now + self._offset)
        except LedgerError:
            LOG.debug("this machine's clock was not recorded in the database")


def clock_of(database: Callable[[], Database]) -> Callable[[], float]:
    """Return the clock of a database; SQLite's is the machine's own.

    Each machine notes in the database by how much its own clock differs: that is what ``refstack-queue status`` shows.

    :param database: gives the database when it is first needed.
    """

    def ask() -> float:
        with database().one_statement() as connection:
            return float(connection.execute(_NOW).scalar_one())

    def note(skew: float, now: float) -> None:
        with database().one_statement() as connection:
            note_skew(connection, skew, now)

    asked = DatabaseClock(ask, note=note)
    return lambda: time.time() if database().is_sqlite else asked()


def note_skew(connection: Connection, skew: float, now: float) -> None:
    """Note by how much the clock of this machine differs from the database's."""
    name = socket.gethostname()[:200]
    values = {"skew": skew, "seen_at": now}
    try:
        if connection.execute(update(server).where(server.c.name == name).values(values)).rowcount == 0:
            connection.execute(insert(server).values(name=name, **values))
    except IntegrityError:
        # another process of this machine noted the same at this moment
        return
