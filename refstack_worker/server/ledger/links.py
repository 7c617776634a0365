"""Links that need no sign-in, and the verdicts of clouds."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.engine import Connection

from refstack_worker.errors import NotFoundError
from refstack_worker.server.db import guideline_tables, legacy_tables, queue_tables, verdict_tables
from refstack_worker.server.db.link_tables import link
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.guidelines import OFFICIAL
from refstack_worker.server.domain.links import CloudVerdict, Link
from refstack_worker.server.domain.tested_cloud import ELSEWHERE
from refstack_worker.server.ledger.disabled import is_disabled
from refstack_worker.server.ledger.tokens import digest
from refstack_worker.server.ledger.transactions import LedgerPart, Row, new_id

_COLUMNS = [column for column in link.c if column.name != "digest"]
_RUN, _CLOUD = queue_tables.run, legacy_tables.cloud


def end_links(connection: Connection, user_id: int) -> None:
    """Remove the links to all runs and clouds of a user: another vendor's verdicts are not for those who have them."""
    runs = select(_RUN.c.test_id).where(_RUN.c.owner_id == user_id)
    clouds = select(_CLOUD.c.id).where(_CLOUD.c.user_id == user_id)
    connection.execute(delete(link).where(or_(link.c.test_id.in_(runs), link.c.cloud_id.in_(clouds))))


class Links(LedgerPart):
    def add(self, wanted: Link) -> tuple[Link, str]:
        """Make a link; its secret is returned this once and kept nowhere."""
        secret = secrets.token_urlsafe(24)
        row = {
            "digest": digest(secret),
            "test_id": wanted.test_id,
            "cloud_id": wanted.cloud_id,
            "program": wanted.program,
            "created_by": wanted.created_by[:200],
            "created_at": self.clock(),
            "expires_at": wanted.expires_at,
        }
        with self.database.writing() as connection:
            added = new_id(connection.execute(insert(link).values(row)))
            made = connection.execute(select(*_COLUMNS).where(link.c.id == added)).mappings().one()
        return Link(**made), secret

    def find(self, secret: str) -> Link:
        """Return the link with a secret.

        :raises NotFoundError: it is unknown or has expired, or the owner of what it leads to is disabled.
        """
        joined = link.outerjoin(_RUN, _RUN.c.test_id == link.c.test_id).outerjoin(
            _CLOUD, _CLOUD.c.id == link.c.cloud_id
        )
        is_known = link.c.digest == digest(secret)
        works = ~is_disabled(func.coalesce(_RUN.c.owner_id, _CLOUD.c.user_id))
        with self.database.reading() as connection:
            row = connection.execute(select(*_COLUMNS).select_from(joined).where(is_known, works)).mappings().first()
        if row is None or 0 < row["expires_at"] <= self.clock():
            raise NotFoundError("This link is unknown or has expired.")
        return Link(**row)

    def of_run(self, test_id: int) -> list[Link]:
        """Return the links to a run's report that work, the newest first."""
        return self._of(link.c.test_id == test_id)

    def of_cloud(self, cloud_id: int) -> list[Link]:
        """Return the links to badges and feeds of a cloud, the newest first."""
        return self._of(link.c.cloud_id == cloud_id)

    def remove(self, wanted: Link) -> None:
        """Remove a link. :raises NotFoundError: there is none."""
        with self.database.writing() as connection:
            if connection.execute(delete(link).where(link.c.id == wanted.id)).rowcount == 0:
                raise NotFoundError(f"there is no link {wanted.id}")

    def verdicts(self, scope: AccessScope | None, limit: int) -> list[CloudVerdict]:
        """Return the latest verdicts of the clouds of an owner, the newest first. :param scope: None: of all."""
        question = _verdicts().limit(limit)
        if scope is not None:
            question = question.where(legacy_tables.cloud.c.user_id.in_(scope.owner_ids or (-1,)))
        return self._verdicts(question)

    def verdicts_of(self, cloud_id: int, program: str, limit: int) -> list[CloudVerdict]:
        """Return the last verdicts of a cloud about a program of official guidelines, the newest first."""
        chosen = guideline_tables.run_guideline
        question = _verdicts().where(legacy_tables.cloud.c.id == cloud_id, chosen.c.program == program)
        question = question.where(guideline_tables.guideline.c.origin == OFFICIAL)
        return self._verdicts(question.limit(limit))

    def _of(self, which: Any) -> list[Link]:
        valid = (link.c.expires_at == 0) | (link.c.expires_at > self.clock())
        with self.database.reading() as connection:
            rows = connection.execute(select(*_COLUMNS).where(which, valid).order_by(link.c.id.desc())).mappings().all()
        return [Link(**row) for row in rows]

    def _verdicts(self, question: Any) -> list[CloudVerdict]:
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        return [_verdict(row) for row in rows]


def _verdicts() -> Any:
    """Ask for the verdicts of clouds. One whose run named another server than the cloud's says nothing of the cloud."""
    frozen, chosen, guideline = verdict_tables.verdict, guideline_tables.run_guideline, guideline_tables.guideline
    test, cloud = legacy_tables.test, legacy_tables.cloud
    run, result = queue_tables.run, queue_tables.result
    joined = (
        frozen.join(run, run.c.test_id == frozen.c.test_id)
        .join(test, test.c.id == frozen.c.test_id)
        .join(cloud, cloud.c.id == test.c.cloud_id)
        .join(chosen, chosen.c.test_id == frozen.c.test_id)
        .join(guideline, guideline.c.id == chosen.c.guideline_id)
        .join(result, result.c.test_id == frozen.c.test_id)
    )
    is_elsewhere = func.coalesce(result.c.summary, "").contains(ELSEWHERE, autoescape=True)
    columns = (frozen.c.test_id, frozen.c.is_passed, frozen.c.passed, frozen.c.total, run.c.ended_at, chosen.c.program)
    question = select(*columns, cloud.c.id.label("cloud_id"), cloud.c.label, guideline.c.name.label("guideline"))
    question = question.add_columns(guideline.c.origin)
    return question.select_from(joined).where(~is_elsewhere).order_by(frozen.c.test_id.desc())


def _verdict(row: Row) -> CloudVerdict:
    name = row["guideline"] if row["origin"] == OFFICIAL else f"{row['guideline']} (own)"
    what = (row["test_id"], row["cloud_id"], row["label"] or "", row["program"], name)
    counts = (bool(row["is_passed"]), row["passed"], row["total"], row["ended_at"])
    return CloudVerdict(*what, *counts, row["origin"])
