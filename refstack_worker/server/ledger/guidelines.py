"""The ledger's guidelines, by which of them a run is judged, and the verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import case, delete, func, insert, select, true, update
from sqlalchemy.engine import Connection

from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.db import guideline_tables, queue_tables
from refstack_worker.server.domain import guideline_file
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.guidelines import OFFICIAL, OWN, Choice, Guideline, StoredGuideline
from refstack_worker.server.domain.verdict import Verdict
from refstack_worker.server.ledger import frozen_verdicts
from refstack_worker.server.ledger.transactions import LedgerPart, new_id

_GUIDELINE, _JUDGED = guideline_tables.guideline, guideline_tables.run_guideline
_COLUMNS = frozen_verdicts.GUIDELINE_COLUMNS


class Guidelines(LedgerPart):
    def add(self, text: str, about: StoredGuideline) -> StoredGuideline:
        """Keep a guideline file; the same text of the same owner again is the one that is kept already.

        :param about: its name, where one is given, takes the place of the name in the file.
        :raises UsageError: it cannot be read, or it is a vendor's own and has the name of an official one.
        """
        parsed = guideline_file.parse(text, name=about.name)
        origin = OFFICIAL if about.owner_id is None else OWN
        row = {
            "name": parsed.id,
            "digest": hashlib.sha256(text.encode("utf-8")).hexdigest(),
            "text": text,
            "source": about.source[:2048],
            "added_by": about.added_by[:200],
            "owner_id": about.owner_id,
            "created_at": self.clock(),
            "origin": origin,
        }
        with self.database.writing() as connection:
            if origin == OWN:
                _check_own_name(connection, parsed.id)
            return _added(connection, row)

    def all(self, scope: AccessScope | None) -> list[StoredGuideline]:
        """Return the guidelines, the newest first: the operators', and those within the scope."""
        question = select(*_COLUMNS).where(_known_to(scope), _GUIDELINE.c.archived_at == 0)
        ordered = question.order_by(_GUIDELINE.c.name.desc(), _GUIDELINE.c.id.desc()).limit(200)
        with self.database.reading() as connection:
            return [StoredGuideline(**row) for row in connection.execute(ordered).mappings().all()]

    def get(self, wanted: int | str, scope: AccessScope | None = None) -> tuple[StoredGuideline, Guideline]:
        """Return a guideline by its id, or the newest of a name. An official one goes before a vendor's own.

        :param scope: None: an operator, for whom a name means an official guideline and nothing else.
        :raises NotFoundError: there is none.
        """
        table = _GUIDELINE
        question = select(table).where(_known_to(scope), table.c.archived_at == 0)
        if isinstance(wanted, int):
            question = question.where(table.c.id == wanted)
        else:
            question = question.where(table.c.name == wanted)
            question = question.where(table.c.origin == OFFICIAL) if scope is None else question
        ordered = question.order_by(table.c.origin == OWN, table.c.id.desc()).limit(1)
        with self.database.reading() as connection:
            row = connection.execute(ordered).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no guideline {wanted!r}; an operator adds them")
        return frozen_verdicts.stored_guideline(row), guideline_file.parse(row["text"], name=row["name"])

    def known(self, guideline_id: int, scope: AccessScope | None) -> StoredGuideline:
        """Return what is known of a guideline without reading it. :raises NotFoundError: there is none."""
        table = _GUIDELINE
        question = select(*_COLUMNS).where(_known_to(scope), table.c.archived_at == 0, table.c.id == guideline_id)
        with self.database.reading() as connection:
            row = connection.execute(question).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no guideline {guideline_id}")
        return StoredGuideline(**row)

    def count_of(self, owner_ids: Sequence[int]) -> tuple[int, int]:
        """Return how many guidelines some users have: on offer, and with those that were deleted."""
        table = _GUIDELINE
        counted = select(func.coalesce(func.sum(case((table.c.archived_at == 0, 1), else_=0)), 0), func.count())
        with self.database.reading() as connection:
            offered, stored = connection.execute(counted.where(table.c.owner_id.in_(owner_ids or (-1,)))).one()
        return int(offered), int(stored)

    def delete(self, guideline_id: int) -> None:
        """Remove a guideline; one that a run was made by is archived: offered no more, and what it judged stays."""
        table, of_run = _GUIDELINE, _JUDGED.c.guideline_id == guideline_id
        known = (table.c.id == guideline_id) & (table.c.archived_at == 0)
        with self.database.writing() as connection:
            if connection.execute(select(func.count()).select_from(_JUDGED).where(of_run)).scalar():
                gone = connection.execute(update(table).where(known).values(archived_at=self.clock()))
            else:
                gone = connection.execute(delete(table).where(known))
            if gone.rowcount == 0:
                raise NotFoundError(f"there is no guideline {guideline_id}")

    def choose(self, test_id: int, choice: Choice) -> None:
        """Say by what a run is judged."""
        table = _JUDGED
        row = {
            "test_id": test_id,
            "guideline_id": choice.guideline_id,
            "program": choice.program[:200],
            "advisory": choice.advisory,
            "left_out": json.dumps(dict(choice.left_out)),
            "combines": choice.combines,
        }
        with self.database.writing() as connection:
            self.transactions.locked_run(connection, test_id)
            connection.execute(delete(table).where(table.c.test_id == test_id))
            connection.execute(insert(table).values(row))

    def choice(self, test_id: int) -> Choice | None:
        """Return by what a run is judged."""
        with self.database.reading() as connection:
            return frozen_verdicts.choice_of(connection, test_id)

    def verdict(self, test_id: int, choice: Choice | None = None) -> Verdict | None:
        """Return what a run's result says about a program; None: it has no result, or nothing to be judged by.

        :param choice: None: the verdict that was frozen when the result was accepted.
        """
        found = self.verdict_facts(test_id, choice)
        return found.verdict if found else None

    def verdict_facts(self, test_id: int, choice: Choice | None = None) -> frozen_verdicts.Frozen | None:
        """Return the same as :meth:`verdict`, with the document that can be signed."""
        with self.database.reading() as connection:
            if choice is None and (known := frozen_verdicts.frozen(connection, test_id)):
                return known
            asked = choice or frozen_verdicts.choice_of(connection, test_id)
            result = select(queue_tables.result.c.test_id).where(queue_tables.result.c.test_id == test_id)
            if asked is None or connection.execute(result).scalar() is None:
                return None
            made_by = frozen_verdicts.choice_of(connection, test_id)
            if made_by is not None:
                asked = replace(asked, left_out=made_by.left_out, combines=made_by.combines)
            tests = frozen_verdicts.tests_of(connection, test_id)
            return frozen_verdicts.judged(connection, test_id, asked, tests, self.clock())


def _added(connection: Connection, row: dict[str, Any]) -> StoredGuideline:
    table = _GUIDELINE
    same = (table.c.digest == row["digest"]) & table.c.owner_id.is_not_distinct_from(row["owner_id"])
    same &= table.c.origin == row["origin"]
    stored = connection.execute(select(table.c.id, table.c.name).where(same)).mappings().all()
    known = next((one["id"] for one in stored if one["name"] == row["name"]), None)
    if known is None and stored and row["owner_id"] is not None:
        raise UsageError(f"guideline: you have the same file already, as {stored[0]['name']}")
    if known is None:
        known = new_id(connection.execute(insert(table).values(row)))
    connection.execute(update(table).where(table.c.id == known).values(archived_at=0.0))
    return StoredGuideline(**connection.execute(select(*_COLUMNS).where(table.c.id == known)).mappings().one())


def _check_own_name(connection: Connection, name: str) -> None:
    """A vendor's own file must not pass for an official one, however its name is written."""
    official = select(_GUIDELINE.c.name).where(_GUIDELINE.c.origin == OFFICIAL)
    if guideline_file.plain(name) in {guideline_file.plain(one) for one in connection.execute(official).scalars()}:
        raise UsageError(f"guideline: {name} is the name of an official guideline; give your own another name")


def _known_to(scope: AccessScope | None) -> Any:
    table = _GUIDELINE
    if scope is None:
        return true()
    return (table.c.origin == OFFICIAL) | table.c.owner_id.in_(scope.owner_ids or (-1,))
