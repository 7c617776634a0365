"""The ledger, as workers see it: claim an attempt, keep it, report, release it."""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import replace

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.heartbeat import HeartbeatAnswer, HeartbeatReply
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState, may_move
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import StateError
from refstack_worker.server.db import queue_tables
from refstack_worker.server.db.prepared import PREPARED
from refstack_worker.server.db.updates import IS_ATTEMPT
from refstack_worker.server.domain.attempts import (
    Attempt,
    AttemptKey,
    Claim,
    ClaimAnswer,
    Proof,
    Release,
)
from refstack_worker.server.ledger import single_statements
from refstack_worker.server.ledger.maskers import WITHHELD
from refstack_worker.server.ledger.queue_state import queue_is_paused
from refstack_worker.server.ledger.run_rows import attempt_of, attempts_question, is_current
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Move,
    Row,
    check_claim,
    is_attempt,
    key_of,
    refused,
    superseded,
)

_BY_WORKER = frozenset(
    {
        RunState.CLAIMED,
        RunState.BUILDING,
        RunState.RUNNING,
        RunState.POSTING,
        RunState.CANCELLED,
        RunState.FAILED,
    }
)
"""States that a worker may report; ``finished`` comes with a result, ``queued`` with a release."""

NO_PROGRESS = Progress()
_WORD = re.compile(r"[a-z]{1,20}(?:-[a-z]{1,20})?")
"""Form of the reasons for machines."""
_CURRENT = (
    select(*queue_tables.attempt.c, queue_tables.run.c.state, queue_tables.run.c.sealed_conf)
    .select_from(
        queue_tables.attempt.join(queue_tables.run, queue_tables.run.c.test_id == queue_tables.attempt.c.test_id)
    )
    .where(queue_tables.run.c.test_id == bindparam("of_test"))
    .where(queue_tables.attempt.c.attempt == queue_tables.run.c.attempt)
    .execution_options(**PREPARED)
)
_GO, _CANCEL = HeartbeatAnswer(HeartbeatReply.GO), HeartbeatAnswer(HeartbeatReply.CANCEL, "cancelled")

_HOLDER = (
    select(
        queue_tables.attempt.c.attempt,
        queue_tables.attempt.c.secret_digest,
        queue_tables.attempt.c.claim_id,
        queue_tables.run.c.state,
        queue_tables.run.c.attempt.label("current"),
    )
    .select_from(
        queue_tables.attempt.join(queue_tables.run, queue_tables.run.c.test_id == queue_tables.attempt.c.test_id)
    )
    .where(IS_ATTEMPT)
)
_RENEW = (
    update(queue_tables.attempt)
    .where(IS_ATTEMPT, queue_tables.attempt.c.is_open)
    .values(heartbeat_at=bindparam("now"), contested_at=0.0, progress=bindparam("so_far"))
)
"""Heartbeats are the most frequent question by far, so these are put together once."""
_RENEW_AND_LOOK = (
    update(queue_tables.attempt)
    .where(
        IS_ATTEMPT,
        queue_tables.attempt.c.is_open,
        queue_tables.attempt.c.secret_digest == bindparam("proof"),
        queue_tables.attempt.c.claim_id == bindparam("claim"),
        queue_tables.run.c.test_id == queue_tables.attempt.c.test_id,
    )
    .values(heartbeat_at=bindparam("now"), contested_at=0.0, progress=bindparam("so_far"))
    .returning(queue_tables.run.c.state)
    .execution_options(**PREPARED)
)
"""The usual heartbeat, of a claim that holds, in one statement; SQLite cannot return what stands in another table."""


class Attempts(LedgerPart):
    """What a worker, or ``execute_test``, may do with the proof of its attempt."""

    def of_run(self, test_id: int) -> list[Attempt]:
        """Return the attempts of a run, the first first."""
        with self.database.reading() as connection:
            rows = connection.execute(attempts_question().where(queue_tables.run.c.test_id == test_id)).mappings().all()
        return [attempt_of(row) for row in rows]

    def check(self, proof: Proof) -> AttemptKey:
        """Return the attempt that a caller holds.

        :raises RefusedError: ``no-proof``, ``wrong-proof``, ``claimed`` by another worker, ``superseded``, ``ended``.
        :raises NotFoundError: there is no such run.
        """
        with self.database.reading() as connection:
            attempt = self.transactions.proven(connection, proof)
            question = select(queue_tables.run).where(queue_tables.run.c.test_id == proof.test_id)
            _check_current(connection.execute(question).mappings().one(), attempt)
            check_claim(attempt, proof)
            return key_of(attempt)

    def check_known(self, proof: Proof) -> None:
        """Refuse who does not hold an attempt of this run, before anything large is read; see :meth:`check`."""
        with self.database.reading() as connection:
            check_claim(self.transactions.proven(connection, proof), proof)

    def claim(self, proof: Proof, claim: Claim) -> ClaimAnswer:
        """Give an attempt to the first worker that asks; the same claim again is answered as the first time."""
        if self._claim_at_once(proof, claim):
            return ClaimAnswer(True, "", RunState.CLAIMED)
        with self.database.writing() as connection:
            run, attempt = self.transactions.held(connection, proof)
            state = RunState(run["state"])
            if run["attempt"] != attempt["attempt"]:
                return ClaimAnswer(False, "superseded", state)
            if state.is_end:
                return ClaimAnswer(False, state.value, state)
            if _is_claim(attempt, claim.claim_id):
                return ClaimAnswer(True, "", state)
            if attempt["claim_id"] is not None:
                self._contest(connection, key_of(attempt))
                return ClaimAnswer(False, "claimed", state)
            if queue_is_paused(connection):
                self.transactions.requeue(connection, run, Release.QUEUE_LOST, "the queue is paused")
                return ClaimAnswer(False, "paused", state)
            self.transactions.grant(connection, run, claim)
            return ClaimAnswer(True, "", RunState.CLAIMED)

    def _claim_at_once(self, proof: Proof, claim: Claim) -> bool:
        """Grant the usual claim, on an attempt that no worker holds; False: the long way decides."""
        if self.database.is_sqlite or proof.attempt is None or proof.payload_digest is not None or not proof.secret:
            return False
        with self.database.one_statement() as connection:
            digest = payloads.secret_digest(proof.secret)
            return single_statements.claim(connection, proof, claim, digest, self.clock())

    def heartbeat(self, proof: Proof, claim_id: str, progress: Progress = NO_PROGRESS) -> HeartbeatAnswer:
        """Record that the holder of a claim is alive and how far its run is; return whether it should go on."""
        so_far = json.dumps(self._shown(proof, progress).to_json())
        if not self.database.is_sqlite:
            answer = self._heartbeat_at_once(proof, claim_id, so_far)
            if answer is not None:
                return answer
        parameters = {"of_test": proof.test_id, "of_attempt": proof.attempt}
        with self.database.writing(is_lasting=False) as connection:
            rows = connection.execute(_HOLDER, parameters).mappings().all()
            row = self.transactions.choose(connection, proof, rows)
            answer = _answer(row, claim_id)
            if answer.reply is HeartbeatReply.STOP:
                return answer
            # superseded since it was read: the row is closed and stays as it is
            changed = connection.execute(_RENEW, {**parameters, "now": self.clock(), "so_far": so_far})
            return answer if changed.rowcount else HeartbeatAnswer(HeartbeatReply.STOP, "superseded")

    def _heartbeat_at_once(self, proof: Proof, claim_id: str, so_far: str) -> HeartbeatAnswer | None:
        """Record the heartbeat of a claim that holds; None: it does not, and the long way finds out why."""
        parameters = {
            "of_test": proof.test_id,
            "of_attempt": proof.attempt,
            "proof": payloads.secret_digest(proof.secret),
            "claim": claim_id,
            "now": self.clock(),
            "so_far": so_far,
        }
        with self.database.one_statement() as connection:
            state = connection.execute(_RENEW_AND_LOOK, parameters).scalar()
        if state is None:
            return None
        return _CANCEL if state == RunState.CANCELLING.value else _GO

    def release(self, proof: Proof, claim_id: str, reason: str) -> None:
        """Take an attempt back from a worker that cannot go on; the next attempt follows at once.

        :raises RefusedError: ``superseded``, ``ended``, or ``claimed`` by another worker.
        """
        with self.database.writing() as connection:
            run, attempt = self.transactions.held(connection, proof)
            if run["attempt"] != attempt["attempt"] and attempt["outcome"] == Release.RELEASED.value:
                return
            _check_current(run, attempt)
            if not _is_claim(attempt, claim_id):
                raise refused("claimed", "this is not the attempt's current claim")
            said = self._masked(run, attempt, proof, reason or "no reason given")
            self.transactions.requeue(connection, run, Release.RELEASED, f"released by {attempt['worker']}: {said}")

    def report(self, proof: Proof, report: Report) -> AttemptKey:
        """``update-test-status``: note what a worker says, and move the run if that is a move.

        A state that comes late (``building`` after ``running``, or while a cancel is under way) is only a message.
        After the end of the run its last attempt may still leave messages: what it removed from the cloud.

        :raises RefusedError: ``no-proof``, ``wrong-proof``, ``wrong-payload``, ``claimed`` by another worker,
            ``superseded``, ``ended``.
        :raises StateError: a state that is not a worker's to report.
        """
        key = self._report_at_once(proof, report)
        if key is not None:
            return key
        with self.database.writing() as connection:
            run, attempt = self.transactions.held(connection, proof)
            if run["attempt"] != attempt["attempt"]:
                raise superseded(run)
            check_claim(attempt, proof)
            self._take(connection, run, self._masked_report(run, attempt, proof, report))
            return key_of(attempt)

    def _report_at_once(self, proof: Proof, report: Report) -> AttemptKey | None:
        """Take the usual report, of the holder of the current attempt; None: the long way decides."""
        if self.database.is_sqlite:
            return None
        with self.database.one_statement() as connection:
            row = connection.execute(_CURRENT, {"of_test": proof.test_id}).mappings().first()
            if row is None or row["claim_id"] is None or RunState(row["state"]).is_end:
                return None
            if proof.attempt not in (None, row["attempt"]) or not payloads.proves(
                proof.secret, row["secret_digest"] or ""
            ):
                return None
            attempt = self.transactions.choose(connection, proof, [row])
            check_claim(attempt, proof)
            masked = self._masked_report(row, attempt, proof, report)
            return key_of(attempt) if self._take_at_once(connection, key_of(attempt), row, masked) else None

    def _take_at_once(self, connection: Connection, key: AttemptKey, run: Row, report: Report) -> bool:
        state, status, message = RunState(run["state"]), report.status, report.message
        if status is None or status is state:
            line = message if status is None else f"{state.value}: {message}"
            return bool(message) and single_statements.say(connection, key, line, self.clock())
        if status not in _BY_WORKER or not may_move(state, status):
            return False
        said = (message, report.reason or status.value if status.is_end else "")
        return single_statements.move(connection, key, (state, status), said, self.clock())

    def requeue(self, key: AttemptKey, how: Release, message: str) -> bool:
        """End an attempt and make the next, or end the run at the limit.

        Lost by the queue can only be what no worker has claimed, lost with its worker only what someone holds.

        :returns: whether anything changed; not if the attempt is superseded, or the run has ended or moved on.
        """
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, key.test_id)
            is_waiting = run["state"] == RunState.QUEUED.value
            if not is_current(run, key) or is_waiting != (how is Release.QUEUE_LOST):
                return False
            self.transactions.requeue(connection, run, how, message)
            return True

    def _take(self, connection: Connection, run: Row, report: Report) -> None:
        state = RunState(run["state"])
        message = report.message
        if report.status is None or report.status is state:
            if message:
                self.transactions.say(
                    connection, run, message if report.status is None else f"{state.value}: {message}"
                )
            return
        if report.status not in _BY_WORKER:
            raise StateError(
                f"the state {report.status.value} cannot be reported: it follows from a result or a release"
            )
        if state.is_end:
            raise refused("ended", f"the run has ended: {state.value}")
        # an attempt without a claim has no holder, whatever a report says
        is_unclaimed = state is RunState.QUEUED and not report.status.is_end
        if is_unclaimed or not may_move(state, report.status):
            self.transactions.say(connection, run, ": ".join(part for part in (report.status.value, message) if part))
            return
        reason = report.reason or report.status.value if report.status.is_end else ""
        self.transactions.move(connection, run, Move(report.status, message, reason))

    def _shown(self, proof: Proof, progress: Progress) -> Progress:
        """Return the progress with the secrets masked in the test's name."""
        if not progress.test:
            return progress
        masker = self.maskers.kept(AttemptKey(proof.test_id, proof.attempt or 0))
        if masker is None:
            with self.database.reading() as connection:
                masker = self.maskers.of(connection, proof)
        return replace(progress, test=masker.name(progress.test) if masker is not None else "")

    def _masked_report(self, run: Row, attempt: Row, proof: Proof, report: Report) -> Report:
        masked = self._masked(run, attempt, proof, report.message)
        reason = self._masked(run, attempt, proof, report.reason)
        if reason == WITHHELD:
            reason = report.reason if _WORD.fullmatch(report.reason) else ""
        return replace(report, message=masked, reason=reason)

    def _masked(self, run: Row, attempt: Row, proof: Proof, text: str) -> str:
        if not text:
            return text
        masker = self.maskers.of_row(attempt, run["sealed_conf"], proof)
        # what cannot be masked is not shown; the state that it came with counts all the same
        return WITHHELD if masker is None else masker.text(text)

    def _contest(self, connection: Connection, key: AttemptKey) -> None:
        attempt = queue_tables.attempt
        fresh = is_attempt(key) & (attempt.c.contested_at == 0)
        connection.execute(update(attempt).where(fresh).values(contested_at=self.clock()))


def _check_current(run: Row, attempt: Row) -> None:
    if run["attempt"] != attempt["attempt"]:
        raise superseded(run)
    if RunState(run["state"]).is_end:
        raise refused("ended", f"the run has ended: {run['state']}")


def _is_claim(attempt: Row, claim_id: str) -> bool:
    held_by = attempt["claim_id"]
    return held_by is not None and hmac.compare_digest(held_by.encode("utf-8"), claim_id.encode("utf-8", "replace"))


def _answer(held: Row, claim_id: str) -> HeartbeatAnswer:
    state = RunState(held["state"])
    if held["current"] != held["attempt"]:
        return HeartbeatAnswer(HeartbeatReply.STOP, "superseded")
    if state.is_end:
        return HeartbeatAnswer(HeartbeatReply.STOP, state.value)
    if not _is_claim(held, claim_id):
        return HeartbeatAnswer(HeartbeatReply.STOP, "claimed")
    return _CANCEL if state is RunState.CANCELLING else _GO
