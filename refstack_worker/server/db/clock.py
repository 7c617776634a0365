"""The clock of the ledger: the database's, because the machines of a fleet's server may disagree on the time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text

from refstack_worker.errors import LedgerError
from refstack_worker.server.db.database import Database

LOG = logging.getLogger(__name__)

ASK_SECONDS = 10.0
"""Between two questions for the time; in between, the machine's steady clock counts on."""
MAX_TRIP = 1.0
"""Seconds for an answer; a slower one is not believed when an older one is known."""
NOTABLE_SKEW = 5.0
"""Seconds between the machine's clock and the database's that are logged."""
_NOW = text("SELECT extract(epoch FROM clock_timestamp())")


def steady_asleep() -> float:
    """Return seconds that no one sets, and that also count while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Clocks:
    """The two clocks of a machine, in seconds."""

    steady: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class DatabaseClock:
    """Seconds since 1970 by the clock of the database; safe to use from several threads."""

    def __init__(self, ask: Callable[[], float], clocks: Clocks | None = None) -> None:
        """:param ask: returns the database's time. :raises LedgerError: it cannot be reached."""
        self._ask = ask
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
            LOG.warning("this machine's clock is %+.0f s off the database's, which counts; is NTP running?", skew)
        self.skew = skew


def clock_of(database: Callable[[], Database]) -> Callable[[], float]:
    """Return the clock of a database; SQLite's is the machine's own.

    :param database: gives the database when it is first needed.
    """

    def ask() -> float:
        with database().one_statement() as connection:
            return float(connection.execute(_NOW).scalar_one())

    asked = DatabaseClock(ask)
    return lambda: time.time() if database().is_sqlite else asked()
