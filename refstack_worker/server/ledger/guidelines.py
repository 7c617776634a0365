"""The ledger's guidelines, by which of them a run is judged, and what waits for which nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import delete, false, func, insert, or_, select, true

from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError
from refstack_worker.server.db import guideline_tables, legacy_tables, queue_tables
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.guidelines import Choice, Guideline, StoredGuideline
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.ledger.transactions import LedgerBase, Row, new_id
from refstack_worker.server.results import guideline_file, verdict
from refstack_worker.server.results.verdict import Verdict

_GUIDELINE, _JUDGED = guideline_tables.guideline, guideline_tables.run_guideline
_COLUMNS = [column for column in _GUIDELINE.c if column.name not in ("text", "archived_at")]
_HELD = tuple(state.value for state in RunState if not state.is_end and state is not RunState.QUEUED)


class GuidelineLedger(LedgerBase):
    """Guidelines and verdicts."""

    def add_guideline(self, text: str, about: StoredGuideline) -> StoredGuideline:
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

    def guidelines(self, viewer: AccessScope | None) -> list[StoredGuideline]:
        """Return the guidelines, the newest first: the operator's, and the viewer's own."""
        question = select(*_COLUMNS).where(_known_to(viewer))
        ordered = question.order_by(_GUIDELINE.c.name.desc(), _GUIDELINE.c.id.desc()).limit(200)
        with self.database.reading() as connection:
            return [StoredGuideline(**row) for row in connection.execute(ordered).mappings().all()]

    def guideline(self, wanted: int | str, viewer: AccessScope | None = None) -> tuple[StoredGuideline, Guideline]:
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

    def delete_guideline(self, guideline_id: int) -> None:
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
            self._locked_run(connection, test_id)
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
        _stored, guideline = self.guideline(chosen.guideline_id)
        return verdict.judge(guideline, chosen.program, self._ran(test_id))

    def _ran(self, test_id: int) -> Iterator[TestResult]:
        columns = [column for column in queue_tables.result_test.c if column.name != "test_id"]
        question = select(*columns).where(queue_tables.result_test.c.test_id == test_id)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        for row in rows:
            yield TestResult(**row)

    def cloud_history(self, cloud_id: int, limit: int = 100) -> list[Row]:
        """Return the last runs of a cloud with a result, the oldest first: counts, seconds, when."""
        run, result = queue_tables.run, queue_tables.result
        joined = run.join(result, result.c.test_id == run.c.test_id).join(
            legacy_tables.test, legacy_tables.test.c.id == run.c.test_id
        )
        question = (
            select(run.c.test_id, run.c.ended_at, run.c.label, result.c.passed, result.c.failed, result.c.seconds)
            .add_columns(result.c.skipped)
            .select_from(joined)
            .where(legacy_tables.test.c.cloud_id == cloud_id)
            .order_by(run.c.test_id.desc())
            .limit(limit)
        )
        with self.database.reading() as connection:
            return list(reversed(connection.execute(question).mappings().all()))

    def waiting(self) -> list[Row]:
        """Return for each kind of node (version, release, tag) how many runs wait, are held, and since when."""
        run = queue_tables.run
        kind = (run.c.tempest_version, run.c.openstack_release, run.c.tag)
        question = (
            select(*kind, run.c.state, func.count().label("runs"), func.min(run.c.queued_at).label("since"))
            .where(run.c.state.in_((RunState.QUEUED.value, *_HELD)))
            .group_by(*kind, run.c.state)
        )
        with self.database.reading() as connection:
            return list(connection.execute(question).mappings().all())

    def ahead(self, test_id: int) -> int:
        """Return how many queued runs of the same kind of node are before one."""
        run, this = queue_tables.run, queue_tables.run.alias("this")
        same = [run.c[name] == this.c[name] for name in ("tempest_version", "openstack_release", "tag")]
        sooner = or_(
            run.c.priority > this.c.priority,
            (run.c.priority == this.c.priority) & (run.c.queued_at < this.c.queued_at),
            (run.c.priority == this.c.priority) & (run.c.queued_at == this.c.queued_at) & (run.c.test_id < test_id),
        )
        question = select(func.count()).select_from(run.join(this, this.c.test_id == test_id))
        with self.database.reading() as connection:
            found = connection.execute(question.where(run.c.state == RunState.QUEUED.value, *same, sooner)).scalar()
        return int(found or 0)

    def usual_seconds(self, test_id: int) -> float | None:
        """Return how long runs of the same kind took lately, on average; None: there was none."""
        run, this = queue_tables.run, queue_tables.run.alias("this")
        same = [run.c[name] == this.c[name] for name in ("tempest_version", "openstack_release")]
        recent = (
            select((run.c.ended_at - run.c.started_at).label("took"))
            .select_from(run.join(this, this.c.test_id == test_id))
            .where(run.c.state == RunState.FINISHED.value, run.c.started_at > 0, *same)
            .order_by(run.c.test_id.desc())
            .limit(20)
            .subquery()
        )
        with self.database.reading() as connection:
            found = connection.execute(select(func.avg(recent.c.took))).scalar()
        return None if found is None else float(found)

    def watched(self, after: dict[int, int]) -> tuple[list[Row], list[Row]]:
        """Return the rows of some runs with their progress, and their messages above an id: two queries for all.

        :param after: test id to the id of the last message that is known.
        """
        run, attempt, status = queue_tables.run, queue_tables.attempt, legacy_tables.test_status
        current = (attempt.c.test_id == run.c.test_id) & (attempt.c.attempt == run.c.attempt)
        names = (
            "test_id",
            "state",
            "attempt",
            "message",
            "reason",
            "worker",
            "revision",
            "passed",
            "failed",
            "skipped",
        )
        question: Any = (
            select(*(run.c[name] for name in names), attempt.c.progress, attempt.c.heartbeat_at)
            .select_from(run.join(attempt, current))
            .where(run.c.test_id.in_(list(after)))
        )
        newer = [(status.c.test_id == test_id) & (status.c.id > last) for test_id, last in after.items()]
        said = select(status).where(or_(false(), *newer)).order_by(status.c.id)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
            messages = connection.execute(said.limit(2000)).mappings().all()
        return list(rows), list(messages)


def _known_to(viewer: AccessScope | None) -> Any:
    owner = _GUIDELINE.c.owner_id
    return owner.is_(None) | owner.in_(viewer.owner_ids or (-1,)) if viewer is not None else true()
