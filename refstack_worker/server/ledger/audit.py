"""The audit log: who changed what, when, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from refstack_worker.server.db.account_tables import audit
from refstack_worker.server.db.prepared import PREPARED
from refstack_worker.server.ledger.transactions import LedgerPart

MAX_ACTOR = 200
"""Characters of who did something."""
_ADD = insert(audit).execution_options(**PREPARED)


@dataclass(frozen=True)
class AuditEntry:
    actor: str
    """Name of the token and, unless it is an operator's without a user, whose it is."""
    token_id: int | None
    address: str
    action: str
    target: str
    at: float = 0.0
    id: int = 0


def row_of(entry: AuditEntry, now: float) -> dict[str, Any]:
    """Return the row of an entry."""
    return {
        "at": now,
        "actor": entry.actor[:MAX_ACTOR],
        "token_id": entry.token_id,
        "address": entry.address[:60],
        "action": entry.action[:80],
        "target": entry.target[:200],
    }


class Audit(LedgerPart):
    """Entries are added and read, never changed."""

    def record(self, entry: AuditEntry) -> None:
        """Add an entry, with the present time."""
        with self.database.single_write() as connection:
            connection.execute(_ADD, row_of(entry, self.clock()))

    def entries(self, before: int = 0, limit: int = 100) -> list[AuditEntry]:
        """Return entries, the newest first. :param before: only those with lower ids."""
        question = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before:
            question = question.where(audit.c.id < before)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        return [AuditEntry(**row) for row in rows]
