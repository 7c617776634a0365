"""The ledger's guidelines, by which of them a run is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import delete, insert, select, true

from refstack_worker.errors import NotFoundError
from refstack_worker.server.db import guideline_tables, queue_tables
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.guidelines import Choice, Guideline, StoredGuideline
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.ledger.transactions import LedgerPart, new_id
from refstack_worker.server.results import guideline_file, verdict
from refstack_worker.server.results.verdict import Verdict

_GUIDELINE, _JUDGED = guideline_tables.guideline, guideline_tables.run_guideline
_COLUMNS = [column for column in _GUIDELINE.c if column.name not in ("text", "archived_at")]


class Guidelines(LedgerPart):
    """Guidelines and verdicts."""

    def add(self, text: str, about: StoredGuideline) -> StoredGuideline:
        """Keep a guideline file; the same text of the same owner again is the one that is kept already.

        :raises UsageError: it is none.
        """
        parsed = guideline_file.parse(text)
        found = hashlib.sha256(text.encode("utf-8")).hexdigest()
        table = _GUIDELINE
        same = select(*_COLUMNS).where(table.c.digest == found, table.c.owner_id.is_not_distinct_from(about.owner_id))
        row = {
            "name": parsed.id,
            "digest": found,
            "text": text,
            "source": about.source[:2048],
            "added_by": about.added_by[:200],
            "owner_id": about.owner_id,
            "created_at": self.clock(),
        }
        with self.database.writing() as connection:
            known = connection.execute(same).mappings().first()
            if known is not None:
                return StoredGuideline(**known)
            made = new_id(connection.execute(insert(table).values(row)))
            return StoredGuideline(**connection.execute(select(*_COLUMNS).where(table.c.id == made)).mappings().one())

    def all(self, viewer: AccessScope | None) -> list[StoredGuideline]:
        """Return the guidelines, the newest first: the operator's, and the viewer's own."""
        question = select(*_COLUMNS).where(_known_to(viewer))
        ordered = question.order_by(_GUIDELINE.c.name.desc(), _GUIDELINE.c.id.desc()).limit(200)
        with self.database.reading() as connection:
            return [StoredGuideline(**row) for row in connection.execute(ordered).mappings().all()]

    def get(self, wanted: int | str, viewer: AccessScope | None = None) -> tuple[StoredGuideline, Guideline]:
        """Return a guideline by its id, or the newest of a name. :raises NotFoundError: there is none."""
        table = _GUIDELINE
        same = table.c.id == wanted if isinstance(wanted, int) else table.c.name == wanted
        question = select(table).where(same, _known_to(viewer)).order_by(table.c.id.desc()).limit(1)
        with self.database.reading() as connection:
            row = connection.execute(question).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no guideline {wanted!r}; an operator adds them")
        plain = {column.name: row[column.name] for column in _COLUMNS}
        return StoredGuideline(**plain), guideline_file.parse(row["text"])

    def delete(self, guideline_id: int) -> None:
        """Remove a guideline; runs that were judged by it lose their verdict."""
        with self.database.writing() as connection:
            gone = delete(_JUDGED).where(_JUDGED.c.guideline_id == guideline_id)
            connection.execute(gone)
            found = connection.execute(delete(_GUIDELINE).where(_GUIDELINE.c.id == guideline_id))
            if found.rowcount == 0:
                raise NotFoundError(f"there is no guideline {guideline_id}")

    def choose(self, test_id: int, choice: Choice) -> None:
        """Say by what a run is judged."""
        table = _JUDGED
        row = {
            "test_id": test_id,
            "guideline_id": choice.guideline_id,
            "program": choice.program[:200],
            "advisory": choice.advisory,
        }
        with self.database.writing() as connection:
            self.transactions.locked_run(connection, test_id)
            connection.execute(delete(table).where(table.c.test_id == test_id))
            connection.execute(insert(table).values(row))

    def choice(self, test_id: int) -> Choice | None:
        """Return by what a run is judged."""
        table = _JUDGED
        with self.database.reading() as connection:
            row = connection.execute(select(table).where(table.c.test_id == test_id)).mappings().first()
        return None if row is None else Choice(row["guideline_id"], row["program"], row["advisory"])

    def verdict(self, test_id: int, choice: Choice | None = None) -> Verdict | None:
        """Return what a run's result says about a program; None: it has no result, or nothing to be judged by.

        :param choice: None: what was chosen when the run was recorded.
        """
        chosen = choice or self.choice(test_id)
        if chosen is None:
            return None
        result = select(queue_tables.result.c.test_id).where(queue_tables.result.c.test_id == test_id)
        with self.database.reading() as connection:
            if connection.execute(result).scalar() is None:
                return None
        _stored, guideline = self.get(chosen.guideline_id)
        return verdict.judge(guideline, chosen.program, self._ran(test_id))

    def _ran(self, test_id: int) -> Iterator[TestResult]:
        columns = [column for column in queue_tables.result_test.c if column.name != "test_id"]
        question = select(*columns).where(queue_tables.result_test.c.test_id == test_id)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        for row in rows:
            yield TestResult(**row)


def _known_to(viewer: AccessScope | None) -> Any:
    owner = _GUIDELINE.c.owner_id
    return owner.is_(None) | owner.in_(viewer.owner_ids or (-1,)) if viewer is not None else true()
