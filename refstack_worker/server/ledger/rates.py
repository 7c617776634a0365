"""Rate limits that all processes of the server share: token buckets in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from refstack_worker.server.db.account_tables import rate
from refstack_worker.server.db.database import Database

FORGET_SECONDS = 300.0
"""Age at which any bucket has filled up again."""


@dataclass(frozen=True)
class Grant:
    count: int
    """Calls that may be made; 0: none."""
    left: float
    """In the bucket afterwards."""


class Rates:
    """Buckets that hold a minute's calls and fill up steadily."""

    def __init__(self, database: Callable[[], Database], clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def take(self, name: str, per_minute: int, count: int) -> Grant:
        """Take up to so many calls out of a bucket."""
        try:
            return self._take(name, per_minute, count)
        except IntegrityError:
            # another process was first to make the row
            return self._take(name, per_minute, count)

    def _take(self, name: str, per_minute: int, count: int) -> Grant:
        now = self._clock()
        row = rate.c.name == name
        with self._database().writing(is_lasting=False) as connection:
            found = connection.execute(select(rate).where(row).with_for_update()).mappings().first()
            # a clock that was set back takes nothing away
            passed = max(0.0, now - found["changed_at"]) if found else 0.0
            level = min(float(per_minute), found["level"] + passed * per_minute / 60) if found else float(per_minute)
            given = min(count, int(level))
            values = {"level": level - given, "changed_at": now}
            if found:
                connection.execute(update(rate).where(row).values(values))
            else:
                connection.execute(delete(rate).where(rate.c.changed_at < now - FORGET_SECONDS))
                connection.execute(insert(rate).values(name=name, **values))
        return Grant(given, level - given)
