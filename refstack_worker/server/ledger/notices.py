"""The operators' announcement, which every page shows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from refstack_worker.server.db.queue_tables import setting
from refstack_worker.server.ledger.transactions import LedgerPart

_NAME = "announcement"
MAX_TEXT = 500


@dataclass(frozen=True)
class Notice:
    text: str
    by: str
    at: float


class Notices(LedgerPart):
    """One announcement at a time."""

    def announce(self, text: str, by: str) -> None:
        """Show a text on every page; an empty one takes the last away."""
        row = {"name": _NAME, "value": text[:MAX_TEXT], "changed_at": self.clock(), "changed_by": by[:200]}
        with self.database.writing() as connection:
            connection.execute(delete(setting).where(setting.c.name == _NAME))
            if text:
                connection.execute(insert(setting).values(row))

    def current(self) -> Notice | None:
        """Return the announcement; None: there is none."""
        with self.database.reading() as connection:
            row = connection.execute(select(setting).where(setting.c.name == _NAME)).mappings().first()
        return Notice(row["value"], row["changed_by"], row["changed_at"]) if row else None
