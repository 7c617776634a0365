"""The live console of runs: lines of tests and requests, numbered from 0 for each attempt."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.contract.console import MAX_LINES, Batch, line_to_json
from refstack_worker.contract.secrets import MASK
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import AttemptKey, Proof
from refstack_worker.server.ledger.transactions import LedgerPart, Row, refused

MAX_BATCHES = 100
"""Batches that one page is taken from."""
_TABLE = queue_tables.console
_IS_OF = (_TABLE.c.test_id == bindparam("of_test")) & (_TABLE.c.attempt == bindparam("of_attempt"))
_NEXT = select(_TABLE.c.first + _TABLE.c.count).where(_IS_OF).order_by(_TABLE.c.first.desc()).limit(1)
_STATE = select(
    queue_tables.run.c.attempt, queue_tables.run.c.sealed_conf, _NEXT.scalar_subquery().label("expected")
).where(queue_tables.run.c.test_id == bindparam("of_test"))


@dataclass(frozen=True)
class ConsoleState:
    """What a node is answered."""

    next: int
    """Number of the line that is expected next."""
    full: bool = False
    """No more lines are kept of the attempt."""


@dataclass(frozen=True)
class ConsolePage:
    attempt: int
    lines: tuple[dict[str, Any], ...]
    """Each with its ``number``."""
    dropped: int
    """Lines that the node could not keep."""


class Console(LedgerPart):
    """Lines are added by the holder of an attempt, and read by those who see its run."""

    def add(self, proof: Proof, claim_id: str, batch: Batch) -> ConsoleState:
        """Store the lines of a batch that are not stored yet, secrets masked.

        The last lines of an attempt may come after its end: the result is posted beside them.

        :raises RefusedError: the attempt is superseded, or the caller does not hold it.
        """
        try:
            return self._add(proof, claim_id, batch)
        except IntegrityError:
            # the same batch came twice at once
            return self._add(proof, claim_id, batch)

    def page(self, test_id: int, after: int, limit: int) -> ConsolePage:
        """Return lines of the current attempt. :param after: number of the last line that the caller has, or -1."""
        run = select(queue_tables.run.c.attempt).where(queue_tables.run.c.test_id == test_id)
        with self.database.reading() as connection:
            attempt = int(connection.execute(run).scalar() or 0)
            parameters = {"of_test": test_id, "of_attempt": attempt}
            sizes = connection.execute(_sizes(after), parameters).all()
            last = _last_of_page(sizes, after, limit)
            question = select(_TABLE).where(_IS_OF, _TABLE.c.first + _TABLE.c.count > after + 1, _TABLE.c.first <= last)
            rows = connection.execute(question.order_by(_TABLE.c.first), parameters).mappings().all()
        numbered = (line for row in rows for line in _numbered(row))
        lines = tuple(line for line in numbered if line["number"] > after)[:limit]
        return ConsolePage(attempt, lines, max((row["dropped"] for row in rows), default=0))

    def _add(self, proof: Proof, claim_id: str, batch: Batch) -> ConsoleState:
        key = AttemptKey(proof.test_id, proof.attempt or 0)
        parameters = {"of_test": key.test_id, "of_attempt": key.attempt}
        with self.database.writing() as connection:
            run, attempt = self._held(connection, proof, claim_id, parameters)
            expected = run["expected"] or 0
            if expected >= MAX_LINES or batch.first > expected:
                return ConsoleState(expected, expected >= MAX_LINES)
            fresh = batch.lines[expected - batch.first :][: MAX_LINES - expected]
            if fresh:
                mask = self.maskers.of_row(attempt, run["sealed_conf"], proof)
                # a masker without secrets is false, and has nothing to mask
                hide = _withheld if mask is None else mask.text
                lines = json.dumps([line_to_json(line, hide) for line in fresh])
                row = {"test_id": key.test_id, "attempt": key.attempt, "first": expected, "count": len(fresh)}
                connection.execute(insert(_TABLE), {**row, "dropped": batch.dropped, "lines": lines})
        return ConsoleState(expected + len(fresh), expected + len(fresh) >= MAX_LINES)

    def _held(self, connection: Connection, proof: Proof, claim_id: str, parameters: dict[str, int]) -> tuple[Row, Row]:
        attempt = self.transactions.proven(connection, proof)
        run = connection.execute(_STATE, parameters).mappings().one()
        if run["attempt"] != attempt["attempt"]:
            raise refused("superseded", f"attempt {run['attempt']} follows this one")
        held_by = attempt["claim_id"] or ""
        if not held_by or not hmac.compare_digest(held_by.encode(), claim_id.encode("utf-8", "replace")):
            raise refused("claimed", "this is not the attempt's current claim")
        return run, attempt


def _sizes(after: int) -> Any:
    """Return the question for the batches that a page may be taken from: small ones are many, large ones megabytes."""
    rest = select(_TABLE.c.first, _TABLE.c.count).where(_IS_OF, _TABLE.c.first + _TABLE.c.count > after + 1)
    return rest.order_by(_TABLE.c.first).limit(MAX_BATCHES)


def _last_of_page(sizes: Sequence[Any], after: int, limit: int) -> int:
    """Return the first line of the last batch that a page needs; -1: none."""
    last = -1
    for first, _count in sizes:
        if last >= 0 and first > after + limit:
            break
        last = first
    return last


def _withheld(text: str) -> str:
    """Return what is shown of a text that cannot be masked."""
    return MASK if text else ""


def _numbered(row: Row) -> Iterator[dict[str, Any]]:
    for place, line in enumerate(json.loads(row["lines"])):
        yield {"number": row["first"] + place, **line}
