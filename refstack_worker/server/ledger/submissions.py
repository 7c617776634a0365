"""The ledger, as the queue client and the job monitor see it: what to submit, what was lost, what took too long.

An attempt goes: leased (:meth:`next_to_submit`) → sealed (:meth:`sealed`, the digest is known before anybody can hold
the envelope) → submitted. A submitter that dies after ``sealed`` leaves it open whether the queue has the job, so its
attempt number is spent (:meth:`expire_leases`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, case, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.states import HELD, RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.db.updates import IS_ATTEMPT, change_attempt
from refstack_worker.server.domain.attempts import (
    Attempt,
    AttemptKey,
    Overdue,
    OverdueReason,
    QueuedJob,
    Release,
    Submission,
)
from refstack_worker.server.ledger.runs import attempt_of, attempts_question, spec_of
from refstack_worker.server.ledger.transactions import LedgerBase, Move, Row, is_attempt, key_of

LEASE_SECONDS = 60.0
"""Time for a submitter to give what it took to the queue."""
CONTESTED_BEATS = 3
"""Missed heartbeats after which a holder is given up whose job gearmand has handed out again."""
_WORKING = [state.value for state in HELD]
_SEALED = (
    update(queue_tables.attempt)
    .where(IS_ATTEMPT, queue_tables.attempt.c.is_open, queue_tables.attempt.c.submitted_at == 0)
    .where(queue_tables.attempt.c.secret_digest == bindparam("mine"))
    .values(payload_digest=bindparam("digest"), leased_until=bindparam("until"))
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
)
_PAUSED = select(queue_tables.setting.c.value).where(queue_tables.setting.c.name == "paused")


class SubmissionLedger(LedgerBase):
    """Leases, submissions, and what the monitor looks for."""

    def next_to_submit(self, limit: int = 100, test_id: int | None = None) -> list[Submission]:
        """Take attempts that the queue does not have yet, under a lease; nobody else gets them. None while paused."""
        leased: list[tuple[Row, str]] = []
        with self.database.writing() as connection:
            if queue_is_paused(connection):
                return []
            for row in connection.execute(self._unsubmitted(limit, test_id)).mappings().all():
                secret = payloads.new_secret()
                values = {
                    "leased_until": self.clock() + LEASE_SECONDS,
                    "secret_digest": payloads.secret_digest(secret),
                }
                change_attempt(connection, key_of(row), values)
                leased.append((row, secret))
        return [self._submission(row, secret) for row, secret in leased]

    def sealed(self, digests: Sequence[tuple[Submission, str]]) -> set[AttemptKey]:
        """Note the digests of envelopes before they are submitted.

        :returns: those that are still to be submitted; the others were cancelled, or their lease ran out.
        """
        good: set[AttemptKey] = set()
        with self.database.writing() as connection:
            for submission, digest in digests:
                told = {
                    "of_test": submission.key.test_id,
                    "of_attempt": submission.key.attempt,
                    "mine": payloads.secret_digest(submission.secret),
                    "digest": digest,
                    "until": self.clock() + LEASE_SECONDS,
                }
                if connection.execute(_SEALED, told).rowcount == 1:
                    good.add(submission.key)
        return good

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
        with self.database.writing() as connection:
            if rows:
                connection.execute(_SUBMITTED, rows)

    def submit_failed(self, keys: Iterable[AttemptKey], why: str) -> None:
        """End the lease of attempts that the queue surely does not have; they are taken again."""
        attempt = queue_tables.attempt
        values = {"leased_until": 0.0, "payload_digest": None, "note": why[:1024]}
        with self.database.writing() as connection:
            for key in keys:
                unsent = is_attempt(key) & attempt.c.is_open & (attempt.c.submitted_at == 0)
                connection.execute(update(attempt).where(unsent).values(values))

    def unsubmittable(self, key: AttemptKey, reason: str, message: str) -> None:
        """Fail a run of which no payload can be made."""
        with self.database.writing() as connection:
            run = self._locked_run(connection, key.test_id)
            if _is_current(run, key) and run["state"] == RunState.QUEUED.value:
                self._move(connection, run, Move(RunState.FAILED, message, reason))

    def give_back(self, key: AttemptKey, how: Release, message: str) -> bool:
        """End an attempt and make the next, or end the run at the limit.

        Lost by the queue can only be what nobody has claimed, lost with its worker only what somebody holds.

        :returns: whether anything changed; not if the attempt is superseded, or the run has ended or moved on.
        """
        with self.database.writing() as connection:
            run = self._locked_run(connection, key.test_id)
            is_waiting = run["state"] == RunState.QUEUED.value
            if not _is_current(run, key) or is_waiting != (how is Release.QUEUE_LOST):
                return False
            self._give_back(connection, run, how, message)
            return True

    def jobs_to_withdraw(self, limit: int = 100) -> list[QueuedJob]:
        """Return jobs that are still in the queue although nobody wants them any more."""
        attempt = queue_tables.attempt
        question = select(attempt).where(~attempt.c.is_withdrawn).limit(limit)
        with self.database.reading() as connection:
            return [_job(row) for row in connection.execute(question).mappings().all()]

    def withdrawn(self, keys: Iterable[AttemptKey]) -> None:
        """Note that the queue has these jobs no more."""
        with self.database.writing() as connection:
            for key in keys:
                connection.execute(update(queue_tables.attempt).where(is_attempt(key)).values(is_withdrawn=True))

    def waiting_jobs(self, now: float | None = None, older_than: float = 10.0, limit: int = 5000) -> list[QueuedJob]:
        """Return jobs that were given to the queue that many seconds ago and that nobody has claimed, oldest first."""
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
        return [key for key in keys if self.give_back(key, Release.QUEUE_LOST, said)]

    def silent_attempts(self, now: float | None = None) -> list[Attempt]:
        """Return held attempts whose worker has been silent for too long."""
        question = attempts_question().where(self._is_silent(self.clock() if now is None else now))
        with self.database.reading() as connection:
            return [attempt_of(row) for row in connection.execute(question).mappings().all()]

    def lose_silent(self, key: AttemptKey, message: str, now: float | None = None) -> bool:
        """Give back an attempt as lost, if it is still silent now that nobody else can change it."""
        moment = self.clock() if now is None else now
        with self.database.writing() as connection:
            run = self._locked_run(connection, key.test_id)
            question = attempts_question().where(is_attempt(key), self._is_silent(moment))
            if connection.execute(question).first() is None:
                return False
            self._give_back(connection, run, Release.LOST, message)
            return True

    def overdue_runs(self, now: float | None = None) -> list[Overdue]:
        """Return runs that have waited, run, or been cancelling for too long."""
        moment = self.clock() if now is None else now
        question = select(queue_tables.run).where(self._is_overdue(moment)).order_by(queue_tables.run.c.test_id)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        return [self._overdue(row) for row in rows]

    def expire(self, overdue: Overdue, now: float | None = None) -> bool:
        """End an overdue run, if it is still so; return whether it was."""
        moment = self.clock() if now is None else now
        with self.database.writing() as connection:
            run = self._locked_run(connection, overdue.key.test_id)
            still = select(queue_tables.run.c.test_id).where(
                queue_tables.run.c.test_id == overdue.key.test_id, self._is_overdue(moment)
            )
            if not _is_current(run, overdue.key) or connection.execute(still).first() is None:
                return False
            state = RunState.CANCELLED if overdue.why is OverdueReason.CANCEL else RunState.FAILED
            self._move(connection, run, Move(state, overdue.message, overdue.why.value, overdue.why.value))
            return True

    def _unsubmitted(self, limit: int, test_id: int | None) -> Any:
        run, attempt = queue_tables.run, queue_tables.attempt
        joined = attempt.join(run, and_(run.c.test_id == attempt.c.test_id, run.c.attempt == attempt.c.attempt))
        columns = [column for column in run.c if column.name not in ("attempt", "test_id")]
        question = (
            select(attempt.c.test_id, attempt.c.attempt, *columns)
            .select_from(joined)
            .where(attempt.c.is_open, attempt.c.submitted_at == 0, attempt.c.payload_digest.is_(None))
            .where(attempt.c.leased_until < self.clock(), run.c.state == RunState.QUEUED.value)
            .order_by(attempt.c.priority.desc(), attempt.c.test_id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=attempt)
        )
        return question if test_id is None else question.where(attempt.c.test_id == test_id)

    def _submission(self, row: Row, secret: str) -> Submission:
        return Submission(key_of(row), spec_of(row), self.vault.open(row["sealed_conf"]), secret)

    def _is_silent(self, now: float) -> Any:
        run, attempt = queue_tables.run, queue_tables.attempt
        rules = self.settings.rules
        limit = now - rules.heartbeat_limit
        soon = now - CONTESTED_BEATS * rules.heartbeat_seconds
        is_contested = (attempt.c.contested_at > 0) & (attempt.c.heartbeat_at < soon)
        is_held = attempt.c.is_open & (attempt.c.claimed_at > 0) & run.c.state.in_(_WORKING)
        # heard in times to come: the clock was set back, and who lives is heard anew by it
        is_odd = attempt.c.heartbeat_at > now + rules.heartbeat_limit
        return is_held & ((attempt.c.heartbeat_at < limit) | is_odd | is_contested)

    def _is_overdue(self, now: float) -> Any:
        run, rules = queue_tables.run, self.settings.rules
        is_cancelling = run.c.state == RunState.CANCELLING.value
        found = is_cancelling & (run.c.cancel_asked_at < now - rules.cancel_limit)
        found |= run.c.state.in_(_WORKING) & (run.c.started_at + run.c.timeout < now - rules.run_grace)
        if rules.queue_timeout:
            found |= (run.c.state == RunState.QUEUED.value) & (run.c.queued_at < now - rules.queue_timeout)
        return found

    def _overdue(self, row: Row) -> Overdue:
        rules = self.settings.rules
        if row["state"] == RunState.QUEUED.value:
            what = f"Tempest {row['tempest_version']}" if row["tempest_version"] else row["openstack_release"]
            tag = f" with the tag {row['tag']}" if row["tag"] else ""
            said = f"no worker took it within {rules.queue_timeout:g} s; is there a node that serves {what}{tag}?"
            return Overdue(key_of(row), OverdueReason.QUEUE, said)
        if row["state"] == RunState.CANCELLING.value:
            said = f"{row['worker']} did not confirm the cancel within {rules.cancel_limit:g} s"
            return Overdue(key_of(row), OverdueReason.CANCEL, said)
        return Overdue(
            key_of(row), OverdueReason.RUN, f"not done {rules.run_grace:g} s after its time limit of {row['timeout']} s"
        )


def queue_is_paused(connection: Connection) -> bool:
    """Return whether operators have paused the whole queue."""
    return bool(connection.execute(_PAUSED).scalar() == "yes")


def _is_current(run: Row, key: AttemptKey) -> bool:
    return bool(run["attempt"] == key.attempt and not RunState(run["state"]).is_end)


def _job(row: Row) -> QueuedJob:
    return QueuedJob(key_of(row), row["server"], row["handle"], row["function"], row["submitted_at"])
