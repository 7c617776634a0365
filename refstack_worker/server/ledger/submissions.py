"""The ledger, as the queue client sees it: what to submit, and what the queue was given.

An attempt goes: leased (:meth:`Submissions.next`) → sealed (:meth:`Submissions.sealed`: the digest is known before
anybody can hold the envelope) → submitted. A submitter that dies after ``sealed`` leaves it open whether the queue has
the job, so its attempt number is spent (:meth:`Submissions.expire_leases`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, case, func, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.states import RunState
from refstack_worker.errors import SealError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.prepared import PREPARED
from refstack_worker.server.db.updates import IS_ATTEMPT, change_attempt
from refstack_worker.server.domain.attempts import (
    AttemptKey,
    QueuedJob,
    Release,
    Submission,
)
from refstack_worker.server.ledger.attempts import Attempts
from refstack_worker.server.ledger.maskers import sealed_secrets
from refstack_worker.server.ledger.node_keys import active_keys
from refstack_worker.server.ledger.queue_state import queue_is_paused
from refstack_worker.server.ledger.run_rows import (
    is_current,
    spec_of,
)
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Move,
    Row,
    Transactions,
    is_attempt,
    key_of,
)

LEASE_SECONDS = 60.0
"""Time for a submitter to give what it took to the queue."""
_SEALED = (
    update(queue_tables.attempt)
    .where(IS_ATTEMPT, queue_tables.attempt.c.is_open, queue_tables.attempt.c.submitted_at == 0)
    .where(queue_tables.attempt.c.payload_digest.is_(None))
    .values(
        secret_digest=bindparam("mine"),
        sealed_secrets=bindparam("its_secrets"),
        payload_digest=bindparam("digest"),
        leased_until=bindparam("until"),
    )
)
_SUBMITTED = (
    update(queue_tables.attempt)
    .where(IS_ATTEMPT)
    .values(
        submitted_at=bindparam("at"),
        server=bindparam("by"),
        handle=bindparam("as_job"),
        function=bindparam("of_function"),
        leased_until=0.0,
        # cancelled in the meantime: then the job just made is to be withdrawn
        is_withdrawn=case(
            (queue_tables.attempt.c.is_open | (queue_tables.attempt.c.claimed_at > 0), True), else_=False
        ),
    )
    .execution_options(**PREPARED)
)


class Submissions(LedgerPart):
    """Leases and submissions of attempts, and the jobs that the queue was given."""

    def __init__(self, transactions: Transactions, attempts: Attempts) -> None:
        super().__init__(transactions)
        self._attempts = attempts

    def next(self, limit: int = 100, test_id: int | None = None) -> list[Submission]:
        """Take attempts that the queue does not have yet, under a lease; each vendor gets its share of the limit.

        Nothing while the queue is paused. A run whose options cannot be decrypted fails, and only that one.
        """
        until = self.clock() + LEASE_SECONDS
        with self.database.writing() as connection:
            if queue_is_paused(connection):
                return []
            rows = connection.execute(self._unsubmitted(limit, test_id)).mappings().all()
            for row in rows:
                change_attempt(connection, key_of(row), {"leased_until": until})
            nodes = active_keys(connection) if rows else ()
        return [one for one in (self._submission(row, nodes) for row in rows) if one is not None]

    def sealed(self, digests: Sequence[tuple[Submission, str]]) -> set[AttemptKey]:
        """Note the secrets and digests of envelopes before they are submitted.

        The first to seal an attempt submits it, also when its lease ran out meanwhile: slow submitters must not undo
        each other's work.

        :returns: those that the caller submits; the others were cancelled, or someone else was first.
        """
        with self.database.writing() as connection:
            return {one.key for one, digest in digests if self._note_sealed(connection, one, digest)}

    def submitted(self, jobs: Iterable[QueuedJob]) -> None:
        """Note that the queue has these jobs."""
        rows = [
            {
                "of_test": job.key.test_id,
                "of_attempt": job.key.attempt,
                "at": job.submitted_at or self.clock(),
                "by": job.server[:260],
                "as_job": job.handle[:260],
                "of_function": job.function[:120],
            }
            for job in jobs
        ]
        if len(rows) == 1:
            with self.database.single_write() as connection:
                connection.execute(_SUBMITTED, rows[0])
        elif rows:
            with self.database.writing() as connection:
                connection.execute(_SUBMITTED, rows)

    def _note_sealed(self, connection: Connection, submission: Submission, digest: str) -> bool:
        values = {
            "of_test": submission.key.test_id,
            "of_attempt": submission.key.attempt,
            "mine": payloads.secret_digest(submission.secret),
            "its_secrets": sealed_secrets(submission),
            "digest": digest,
            "until": self.clock() + LEASE_SECONDS,
        }
        return bool(connection.execute(_SEALED, values).rowcount == 1)

    def failed(self, submissions: Iterable[Submission], why: str) -> None:
        """End the lease of attempts that the queue surely does not have; they are taken again.

        What another submitter has sealed since stays as it is.
        """
        attempt = queue_tables.attempt
        values = {"leased_until": 0.0, "payload_digest": None, "note": why[:1024]}
        with self.database.writing() as connection:
            for one in submissions:
                is_mine = attempt.c.secret_digest == payloads.secret_digest(one.secret)
                unsent = is_attempt(one.key) & attempt.c.is_open & (attempt.c.submitted_at == 0)
                unsent &= attempt.c.payload_digest.is_(None) | is_mine
                connection.execute(update(attempt).where(unsent).values(values))

    def unsubmittable(self, key: AttemptKey, reason: str, message: str) -> None:
        """Fail a run of which no payload can be made."""
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, key.test_id)
            if is_current(run, key) and run["state"] == RunState.QUEUED.value:
                self.transactions.move(connection, run, Move(RunState.FAILED, message, reason))

    def to_withdraw(self, limit: int = 100) -> list[QueuedJob]:
        """Return jobs that are still in the queue but no longer needed."""
        attempt = queue_tables.attempt
        question = select(attempt).where(~attempt.c.is_withdrawn).limit(limit)
        with self.database.reading() as connection:
            return [_job(row) for row in connection.execute(question).mappings().all()]

    def withdrawn(self, keys: Iterable[AttemptKey]) -> None:
        """Note that the queue has these jobs no more."""
        with self.database.writing() as connection:
            for key in keys:
                connection.execute(update(queue_tables.attempt).where(is_attempt(key)).values(is_withdrawn=True))

    def waiting(self, now: float | None = None, older_than: float = 10.0, limit: int = 5000) -> list[QueuedJob]:
        """Return jobs that were queued that many seconds ago and that no worker has claimed, oldest first."""
        attempt = queue_tables.attempt
        since = (self.clock() if now is None else now) - older_than
        question = (
            select(attempt)
            .where(attempt.c.is_open, attempt.c.submitted_at > 0, attempt.c.submitted_at <= since)
            .where(attempt.c.claimed_at == 0)
            .order_by(attempt.c.submitted_at)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [_job(row) for row in connection.execute(question).mappings().all()]

    def expire_leases(self, now: float | None = None) -> list[AttemptKey]:
        """Give back what a submitter left in the uncertain; return what was given back."""
        attempt = queue_tables.attempt
        question = (
            select(attempt.c.test_id, attempt.c.attempt)
            .where(attempt.c.is_open, attempt.c.submitted_at == 0, attempt.c.claimed_at == 0)
            .where(attempt.c.payload_digest.is_not(None))
            .where(attempt.c.leased_until < (self.clock() if now is None else now))
        )
        with self.database.reading() as connection:
            keys = [key_of(row) for row in connection.execute(question).mappings().all()]
        said = "it is not known whether the queue has the job"
        return [key for key in keys if self._attempts.requeue(key, Release.QUEUE_LOST, said)]

    def _unsubmitted(self, limit: int, test_id: int | None) -> Any:
        run, attempt = queue_tables.run, queue_tables.attempt
        joined = attempt.join(run, and_(run.c.test_id == attempt.c.test_id, run.c.attempt == attempt.c.attempt))
        is_waiting = self._is_unsubmitted()
        if test_id is not None:
            is_waiting &= attempt.c.test_id == test_id
        turns = _turns(is_waiting).subquery("turns")
        columns = [column for column in run.c if column.name not in ("attempt", "test_id")]
        return (
            select(attempt.c.test_id, attempt.c.attempt, *columns)
            .select_from(joined.join(turns, turns.c.test_id == attempt.c.test_id))
            .where(is_waiting, run.c.state == RunState.QUEUED.value)
            .order_by(attempt.c.priority.desc(), turns.c.turn, attempt.c.test_id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=attempt)
        )

    def _is_unsubmitted(self) -> Any:
        attempt = queue_tables.attempt
        is_free = attempt.c.leased_until < self.clock()
        return attempt.c.is_open & (attempt.c.submitted_at == 0) & attempt.c.payload_digest.is_(None) & is_free

    def _submission(self, row: Row, nodes: tuple[str, ...]) -> Submission | None:
        try:
            conf = self.secrets.open(row["sealed_conf"])
        except SealError as error:
            self.unsubmittable(key_of(row), "seal", f"the stored options of this run cannot be decrypted: {error}")
            return None
        return Submission(key_of(row), spec_of(row), conf, payloads.new_secret(), nodes)


def _turns(is_waiting: Any) -> Any:
    """Return the query that numbers the waiting attempts of each vendor; runs of operators count as one vendor's."""
    run, attempt, user = queue_tables.run, queue_tables.attempt, legacy_tables.user
    joined = attempt.join(run, run.c.test_id == attempt.c.test_id).outerjoin(user, user.c.id == run.c.owner_id)
    vendor = (user.c.vendor_id, case((user.c.vendor_id.is_(None), run.c.owner_id)))
    order = (attempt.c.priority.desc(), attempt.c.test_id)
    turn = func.row_number().over(partition_by=vendor, order_by=order).label("turn")
    return select(attempt.c.test_id, turn).select_from(joined).where(is_waiting)


def _job(row: Row) -> QueuedJob:
    return QueuedJob(key_of(row), row["server"], row["handle"], row["function"], row["submitted_at"])
