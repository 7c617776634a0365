"""Runs that are kept however old they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from refstack_worker.errors import StateError
from refstack_worker.server.db.inserts import add_new
from refstack_worker.server.db.operator_tables import pin
from refstack_worker.server.db.queue_tables import run
from refstack_worker.server.ledger.transactions import LedgerPart

MAX_OF_VENDOR = 50
"""Runs that the users of one vendor may keep; those that operators pin do not count."""


@dataclass(frozen=True)
class Pin:
    by: str
    at: float


class Pins(LedgerPart):
    """Keep runs, and let them go again."""

    def add(self, test_id: int, by: str, team: tuple[int, ...] | None = None) -> None:
        """Keep a run that has ended.

        :param team: users of the vendor that asks; None: the operators.
        :raises NotFoundError: there is no such run.
        :raises StateError: it has not ended, or the vendor keeps as many as it may.
        """
        count = select(func.count()).select_from(pin.join(run, run.c.test_id == pin.c.test_id))
        with self.database.writing() as connection:
            if not self.transactions.locked_run(connection, test_id)["ended_at"]:
                raise StateError(f"run {test_id} has not ended; only ended runs can be pinned")
            mine = connection.execute(count.where(run.c.owner_id.in_(team or ()))).scalar_one()
            if team is not None and mine >= MAX_OF_VENDOR:
                raise StateError(f"{MAX_OF_VENDOR} runs are pinned already; unpin one first")
            add_new(connection, pin, {"test_id": test_id, "pinned_at": self.clock(), "pinned_by": by[:200]})

    def remove(self, test_id: int) -> None:
        """Let a run go when its time comes."""
        with self.database.writing() as connection:
            connection.execute(delete(pin).where(pin.c.test_id == test_id))

    def among(self, test_ids: Sequence[int]) -> frozenset[int]:
        """Return those of some runs that are pinned."""
        pinned = select(pin.c.test_id).where(pin.c.test_id.in_(test_ids or (-1,)))
        with self.database.reading() as connection:
            return frozenset(connection.execute(pinned).scalars())

    def get(self, test_id: int) -> Pin | None:
        """Return who keeps a run, and since when; None: it is not pinned."""
        with self.database.reading() as connection:
            row = connection.execute(select(pin).where(pin.c.test_id == test_id)).mappings().first()
        return Pin(row["pinned_by"], row["pinned_at"]) if row else None
