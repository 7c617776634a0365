"""The clocks of the machines on which the server's processes run, compared with the database's, which counts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import select

from refstack_worker.server.db import queue_tables
from refstack_worker.server.ledger.transactions import LedgerPart

RECENT_SECONDS = 600.0
"""A machine that was not heard of for this long is not shown."""


@dataclass(frozen=True)
class ServerClock:
    """A machine of the server's side."""

    name: str
    skew: float
    """Seconds by which its clock is ahead of the database's."""
    seen_at: float
    """By the database's clock."""


class ServerClocks(LedgerPart):
    def of_this_machine(self) -> float:
        """Return the seconds by which this machine's clock is ahead of the database's; 0 with SQLite."""
        now = self.clock()
        return time.time() - now

    def recent(self) -> list[ServerClock]:
        """Return the machines that were heard of lately, by name."""
        table = queue_tables.server
        question = select(table).where(table.c.seen_at > self.clock() - RECENT_SECONDS).order_by(table.c.name)
        with self.database.reading() as connection:
            return [ServerClock(**row) for row in connection.execute(question).mappings().all()]
