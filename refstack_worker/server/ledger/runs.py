"""The ledger, as those see it who want runs: record, look, cancel."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timezone
from typing import Any, Protocol

from sqlalchemy import false, func, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.attempts import (
    AttemptKey,
    Claim,
    Submission,
)
from refstack_worker.server.domain.runs import SHARD, SPLIT, Message, NewRun, Run, RunQuery
from refstack_worker.server.ledger import audit, new_runs, new_shards, recording, single_statements, vendor_limits
from refstack_worker.server.ledger.audit import AuditEntry
from refstack_worker.server.ledger.cancelling import cancel_run
from refstack_worker.server.ledger.maskers import sealed_secrets
from refstack_worker.server.ledger.recording import Recorded, Start
from refstack_worker.server.ledger.run_rows import (
    conditions,
    one_run,
    run_of,
    runs_question,
    visible_to,
)
from refstack_worker.server.ledger.submissions import LEASE_SECONDS
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
    is_attempt,
    key_of,
)

MAX_ROWS = 1000
_NEW_RUN, _NEW_ATTEMPT = insert(queue_tables.run), insert(queue_tables.attempt)


class SealedRun(Protocol):
    """A submission in its envelope."""

    @property
    def digest(self) -> str:
        """By which the ledger knows the envelope."""


class Dispatcher(Protocol):
    """Seals runs while they are recorded, and gives them to the queue afterwards."""

    def seal(self, submission: Submission) -> Any:
        """Return the :class:`SealedRun` of a run that is being recorded; None: the run waits for its turn."""

    def submit(self, sealed: Any) -> None:
        """Submit a sealed run soon; it is recorded."""

    def __call__(self) -> None:
        """Look soon for runs that wait in the ledger."""


class Runs(LedgerPart):
    """Record runs, look at them, cancel them."""

    dispatcher: Dispatcher | None = None
    """None: another process submits what is recorded."""

    def add(self, new: NewRun) -> Run:
        """Record a run: state ``queued``, attempt 1. The same idempotency key again gives the same run again.

        :raises PayloadError: no worker would take what is asked for.
        :raises NotFoundError: there is no test or cloud of that id.
        :raises StateError: that test was run already.
        :raises RefusedError: ``open-runs``, ``storage``: the owner's vendor has as many, or as much, as it may have.
        """
        return self.record(new).run

    def record(self, new: NewRun, entry: AuditEntry | None = None) -> Recorded:
        """Record a run as :meth:`add` does, and say whether it is new.

        :param entry: of the audit log, recorded with the run where that is one statement.
        """
        for one in new_shards.as_runs(new):
            new_runs.check(one, self.settings)
        sealed = self.secrets.seal(new.conf_json)
        try:
            with self._recording(new) as connection:
                start = recording.start(connection, new, self.database.is_sqlite)
                if (same := start.same(new)) is not None:
                    return Recorded(one_run(connection, same), is_new=False)
                vendor_limits.check(connection, self.settings.rules, new.owner_id, len(new.shards) or 1)
                run, envelope = self._insert(connection, new, start, sealed, entry=entry)
                envelopes = self._more(connection, new, run.test_id) if new.spec.shards > 1 else [envelope]
        except IntegrityError:
            return Recorded(self.get(self._after_collision(new)), is_new=False)
        for one_sealed in envelopes or [envelope]:
            self._dispatch(one_sealed)
        return Recorded(run, is_new=True, is_audited=entry is not None and not self.database.is_sqlite)

    def _recording(self, new: NewRun) -> AbstractContextManager[Connection]:
        """Return what a run is recorded in: a transaction, unless all its rows are added by one statement."""
        is_one = not self.database.is_sqlite and new.test_id is None and new.spec.shards <= 1
        return self.database.one_statement() if is_one else self.database.writing()

    def check_limits(self, new: NewRun) -> None:
        """Refuse a run, before anything costly is done for it, whose owner's vendor can have no further one.

        A run that was recorded already, by the same idempotency key, is not refused.

        :raises RefusedError: ``open-runs``, ``storage``.
        """
        with self.database.reading() as connection:
            if not recording.is_known(connection, new):
                vendor_limits.check(connection, self.settings.rules, new.owner_id, 1)

    def _more(self, connection: Connection, new: NewRun, test_id: int) -> list[Any]:
        """Record the shards of a run, or say why it has none; return the shards' envelopes."""
        run = self.transactions.locked_run(connection, test_id)
        envelopes = new_shards.record(connection, run, new.shards, self.insert)
        if new.note:
            self.transactions.say(connection, run, new.note)
        return envelopes

    def insert(self, connection: Connection, new: NewRun) -> tuple[int, Any]:
        """Add the rows of a run in the caller's transaction; return its id, and its envelope if it can be submitted."""
        start = recording.start(connection, new, self.database.is_sqlite)
        run, envelope = self._insert(connection, new, start, self.secrets.seal(new.conf_json))
        return run.test_id, envelope

    def _dispatch(self, envelope: SealedRun | None) -> None:
        if self.dispatcher is not None:
            self.dispatcher.submit(envelope) if envelope is not None else self.dispatcher()

    def add_held(self, new: NewRun, claim: Claim) -> Submission:
        """Record a run that the caller carries out itself; raises as :meth:`add` does."""
        new_runs.check(new, self.settings)
        sealed = self.secrets.seal(new.conf_json)
        secret = payloads.new_secret()
        with self.database.writing() as connection:
            vendor_limits.check_storage(connection, self.settings.rules, new.owner_id)
            start = recording.start(connection, new, self.database.is_sqlite)
            added, _ = self._insert(connection, new, start, sealed, is_held=True)
            run = self.transactions.locked_run(connection, added.test_id)
            submission = Submission(key_of(run), replace(new.spec, timeout=run["timeout"]), new.conf_json, secret)
            values = {"secret_digest": payloads.secret_digest(secret), "sealed_secrets": sealed_secrets(submission)}
            connection.execute(update(queue_tables.attempt).where(is_attempt(submission.key)).values(values))
            self.transactions.grant(connection, run, claim)
        return submission

    def get(self, test_id: int) -> Run:
        """Return one run. :raises NotFoundError: no such id."""
        with self.database.reading() as connection:
            return one_run(connection, test_id)

    def find(self, query: RunQuery) -> list[Run]:
        """Return runs, newest first; see :class:`RunQuery`."""
        question = runs_question().where(*conditions(query)).order_by(queue_tables.run.c.test_id.desc())
        with self.database.reading() as connection:
            rows = connection.execute(question.limit(min(max(query.limit, 1), MAX_ROWS))).mappings().all()
        return [run_of(row) for row in rows]

    def of_cloud(self, cloud_id: int) -> list[int]:
        """Return the test ids of all runs of a cloud."""
        question = select(legacy_tables.test.c.id).where(legacy_tables.test.c.cloud_id == cloud_id)
        with self.database.reading() as connection:
            return [int(number) for number in connection.execute(question).scalars()]

    def cancel(self, test_id: int, by: str) -> Run:
        """Cancel a run: at once if it is queued; else its worker hears of it with the next heartbeat.

        :raises StateError: it has ended.
        """
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, test_id)
            state = RunState(run["state"])
            if state.is_end:
                raise StateError(f"run {test_id} has ended already ({state.value})")
            cancel_run(self.transactions, connection, run, f"cancelled by {by}" if by else "cancelled")
        return self.get(test_id)

    def conf_json(self, test_id: int) -> dict[str, dict[str, Any]]:
        """Return the options that came with a run that has not ended; none afterwards."""
        with self.database.reading() as connection:
            question = select(queue_tables.run.c.sealed_conf).where(queue_tables.run.c.test_id == test_id)
            sealed = connection.execute(question).scalar()
        return self.secrets.open(sealed)

    def exists(self, test_id: int) -> bool:
        """Return whether a test is one of the queue's."""
        question = select(func.count()).select_from(queue_tables.run).where(queue_tables.run.c.test_id == test_id)
        with self.database.reading() as connection:
            return bool(connection.execute(question).scalar())

    def is_visible(self, test_id: int, scope: AccessScope) -> bool:
        """Return whether someone may look at a run."""
        question = (
            select(func.count())
            .select_from(queue_tables.run)
            .where(queue_tables.run.c.test_id == test_id, visible_to(scope))
        )
        with self.database.reading() as connection:
            return bool(connection.execute(question).scalar())

    def messages(self, test_id: int, after: int = 0, limit: int = MAX_ROWS) -> list[Message]:
        """Return the status messages of a test with ids above ``after``, in order."""
        status = legacy_tables.test_status
        question = select(status).where(status.c.test_id == test_id, status.c.id > after)
        with self.database.reading() as connection:
            rows = connection.execute(question.order_by(status.c.id).limit(limit)).mappings().all()
        return [Message(row["id"], row["test_id"], row["message"] or "", _seconds(row["timestamp"])) for row in rows]

    def add_message(self, key: AttemptKey, text: str) -> None:
        """Tell the vendor something, as ``update-test-status`` does, unless the attempt is superseded."""
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, key.test_id)
            if run["attempt"] == key.attempt:
                self.transactions.say(connection, run, text)

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

    def changed_since(self, moment: float, limit: int = 1000) -> list[Row]:
        """Return the runs that changed at a time or after, the oldest change first: state, counts, owner."""
        run = queue_tables.run
        names = ("test_id", "state", "attempt", "message", "reason", "worker", "label", "revision", "owner_id")
        columns = [run.c[name] for name in (*names, "passed", "failed", "skipped", "updated_at")]
        question = (
            select(*columns)
            .where(run.c.updated_at >= moment, run.c.kind != SHARD)
            .order_by(run.c.updated_at)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return list(connection.execute(question).mappings().all())

    def _after_collision(self, new: NewRun) -> int:
        with self.database.reading() as connection:
            known = recording.start(connection, new, self.database.is_sqlite).same(new)
        if known is None:
            raise StateError("the test was already run, or its cloud or owner does not exist")
        return known

    def _insert(
        self,
        connection: Connection,
        new: NewRun,
        start: Start,
        sealed: str,
        is_held: bool = False,
        entry: AuditEntry | None = None,
    ) -> tuple[Run, SealedRun | None]:
        """Add the rows of a run, and return it and its envelope if it can be submitted at once.

        :param is_held: it is not for the queue.
        :param entry: of the audit log; on SQLite it is left to the caller.
        """
        test_id = start.test_id or self._test_row(connection, new)
        now = self.clock()
        row = new_runs.row_of(new, test_id, sealed, now, self.settings)
        attempt = {"test_id": test_id, "attempt": 1, "priority": new.spec.priority, "created_at": now}
        if new.shards:
            # no job: the attempts of its shards are what the queue gets
            row["kind"], attempt["is_open"] = SPLIT, False
        envelope = None if is_held or new.shards else self._sealed(new, start, attempt, now)
        if self.database.is_sqlite:
            connection.execute(_NEW_RUN, row)
            connection.execute(_NEW_ATTEMPT, attempt)
            self.transactions.tell(connection, {"test_id": test_id, "messages": 0}, "queued")
            return one_run(connection, test_id), envelope
        is_drawn = start.test_id is not None
        test = {"id": test_id, "cloud_id": new.cloud_id, "finished": False} if is_drawn else None
        audited = audit.row_of(entry, now) if entry else None
        row = single_statements.record(connection, row, attempt, test, audited, now)
        return recording.recorded_run(start, row) if is_drawn else one_run(connection, test_id), envelope

    def _sealed(self, new: NewRun, start: Start, attempt: dict[str, Any], now: float) -> SealedRun | None:
        """Seal the first attempt of a run, and note that in its row."""
        if self.dispatcher is None or start.is_paused:
            return None
        secret = payloads.new_secret()
        spec = replace(new.spec, timeout=new.spec.timeout or self.settings.rules.run_timeout)
        key = AttemptKey(attempt["test_id"], attempt["attempt"])
        submission = Submission(key, spec, new.conf_json, secret, start.node_keys)
        envelope: SealedRun | None = self.dispatcher.seal(submission)
        if envelope is not None:
            attempt.update(
                secret_digest=payloads.secret_digest(secret),
                sealed_secrets=sealed_secrets(submission),
                payload_digest=envelope.digest,
                leased_until=now + LEASE_SECONDS,
            )
        return envelope

    def _test_row(self, connection: Connection, new: NewRun) -> int:
        if new.test_id is None:
            return self.transactions.add_test(connection, new.cloud_id)
        known = select(legacy_tables.test.c.id).where(legacy_tables.test.c.id == new.test_id)
        if connection.execute(known).scalar() is None:
            raise NotFoundError(f"there is no test {new.test_id}")
        return new.test_id


def _seconds(timestamp: Any) -> float:
    return float(timestamp.replace(tzinfo=timezone.utc).timestamp()) if timestamp else 0.0
