"""Attempts: who holds one, and what only the holder may say of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.payload import new_secret
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.domain.attempts import (
    Claim,
    Proof,
    Release,
)
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import (
    CLAIM,
    PASSWORD,
    Clock,
    beat,
    claimed,
    new_run,
    of_others,
    queued,
    refusal,
    texts,
)


class TestClaims:
    def test_one_of_many_wins(self, ledger: Ledger) -> None:
        job = queued(ledger)
        start = threading.Barrier(8)

        def grab(number: int) -> bool:
            start.wait()
            return ledger.attempts.claim(job.proof, Claim(f"claim-{number}", f"node-{number}", "47.0.0")).granted

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(grab, range(8))) == 1
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED

    def test_the_same_claim_again_is_granted_again(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert ledger.attempts.claim(job.proof, Claim(CLAIM, "node-1")).granted
        assert len(texts(ledger, job.submission.key.test_id)) == 2

    def test_another_claim_is_told_why_not_and_contests(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        answer = ledger.attempts.claim(job.proof, Claim("other", "node-2"))
        assert (answer.granted, answer.reason) == (False, "claimed")
        clock.forward(5)
        assert ledger.deadlines.silent() == []
        clock.forward(2)
        assert [one.key for one in ledger.deadlines.silent()] == [job.submission.key]
        assert beat(ledger, job) is HeartbeatReply.GO
        assert ledger.deadlines.silent() == []
        clock.forward(30)
        assert ledger.deadlines.silent() == [], "a heartbeat ends the doubt"

    def test_worker_that_was_last_heard_in_times_to_come_is_silent(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        clock.forward(-3600)
        assert [one.key for one in ledger.deadlines.silent()] == [job.submission.key]
        assert beat(ledger, job) is HeartbeatReply.GO
        assert ledger.deadlines.silent() == [], "it is heard by the clock as it is now"

    def test_what_is_over_cannot_be_claimed(self, ledger: Ledger) -> None:
        job = queued(ledger)
        ledger.runs.cancel(job.submission.key.test_id, "me")
        assert ledger.attempts.claim(job.proof, Claim("x", "node-1")).reason == "cancelled"
        old = queued(ledger)
        ledger.attempts.requeue(old.submission.key, Release.QUEUE_LOST, "lost")
        assert ledger.attempts.claim(old.proof, Claim("x", "node-1")).reason == "superseded"

    def test_a_claim_while_paused_is_dropped_and_comes_again(self, ledger: Ledger) -> None:
        job = queued(ledger)
        ledger.queue.pause("operator")
        assert ledger.attempts.claim(job.proof, Claim("x", "node-1")).reason == "paused"
        assert ledger.submissions.next() == []
        ledger.queue.resume("operator")
        (again,) = ledger.submissions.next()
        assert again.key.attempt == 2

    def test_without_the_proof_nothing_goes(self, ledger: Ledger) -> None:
        job = queued(ledger)
        test_id = job.submission.key.test_id
        other = queued(ledger)
        claim = Claim("x", "node-1")
        assert refusal(lambda: ledger.attempts.claim(Proof(test_id, "", 1), claim)) == "no-proof"
        assert refusal(lambda: ledger.attempts.claim(Proof(test_id, new_secret(), 1), claim)) == "wrong-proof"
        assert (
            refusal(lambda: ledger.attempts.claim(Proof(test_id, other.submission.secret, 1), claim)) == "wrong-proof"
        )
        assert refusal(lambda: ledger.attempts.claim(Proof(test_id, job.submission.secret, 2), claim)) == "wrong-proof"
        with pytest.raises(NotFoundError):
            ledger.attempts.claim(Proof(999, new_secret(), 1), claim)

    def test_before_it_is_leased_no_secret_proves_anything(self, ledger: Ledger) -> None:
        test_id = ledger.runs.add(new_run()).test_id
        for secret in (new_secret(), "None", "null"):
            assert refusal(lambda secret=secret: ledger.attempts.check(Proof(test_id, secret))) == "wrong-proof"


class TestHeartbeats:
    def test_progress_shows_in_the_run(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert beat(ledger, job) is HeartbeatReply.GO
        assert ledger.runs.get(job.submission.key.test_id).progress == Progress(total=5, done=2)

    def test_a_cancel_travels_in_the_answer_and_ends_with_the_workers_word(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        assert ledger.runs.cancel(test_id, "me").state is RunState.CANCELLING
        assert ledger.runs.cancel(test_id, "me").state is RunState.CANCELLING
        assert beat(ledger, job) is HeartbeatReply.CANCEL
        ledger.attempts.report(job.proof, Report(RunState.RUNNING, "not heard yet"))
        assert ledger.runs.get(test_id).state is RunState.CANCELLING
        ledger.attempts.report(job.proof, Report(RunState.CANCELLED, "all processes gone"))
        assert ledger.runs.get(test_id).state is RunState.CANCELLED
        assert beat(ledger, job) is HeartbeatReply.STOP
        with pytest.raises(StateError):
            ledger.runs.cancel(test_id, "me")

    def test_superseded_stops(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
        assert beat(ledger, job) is HeartbeatReply.STOP

    def test_a_heartbeat_of_another_claim_keeps_nothing_alive(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        clock.forward(61)
        assert beat(ledger, job, "other") is HeartbeatReply.STOP
        assert len(ledger.deadlines.silent()) == 1


class TestReports:
    def test_only_the_holder_speaks_for_an_attempt(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        before = ledger.runs.get(job.submission.key.test_id), texts(ledger, job.submission.key.test_id)
        for proof in of_others(job):
            for said in (Report(RunState.FAILED, "it broke", "tempest"), Report(message="hello")):
                assert refusal(lambda proof=proof, said=said: ledger.attempts.report(proof, said)) == "claimed"
            assert refusal(lambda proof=proof: ledger.attempts.check(proof)) == "claimed"
        assert (ledger.runs.get(job.submission.key.test_id), texts(ledger, job.submission.key.test_id)) == before
        ledger.attempts.report(job.proof, Report(RunState.RUNNING))

    def test_the_way_of_a_run(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        for state in (RunState.BUILDING, RunState.RUNNING, RunState.POSTING):
            ledger.attempts.report(job.proof, Report(state, f"{state.value} now"))
            assert ledger.runs.get(job.submission.key.test_id).state is state
        assert texts(ledger, job.submission.key.test_id)[2:] == [
            "building: building now",
            "running: running now",
            "posting: posting now",
        ]

    def test_a_late_state_is_only_a_message(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.attempts.report(job.proof, Report(RunState.RUNNING))
        ledger.attempts.report(job.proof, Report(RunState.BUILDING, "late"))
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.RUNNING
        assert texts(ledger, job.submission.key.test_id)[-1] == "building: late"

    def test_failed_says_why(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.attempts.report(job.proof, Report(RunState.FAILED, "Keystone refused the password", "cloud"))
        run = ledger.runs.get(job.submission.key.test_id)
        assert (run.state, run.reason, run.message) == (RunState.FAILED, "cloud", "Keystone refused the password")

    @pytest.mark.parametrize("state", [RunState.FINISHED, RunState.QUEUED, RunState.CANCELLING])
    def test_states_that_are_not_a_workers_to_report(self, ledger: Ledger, state: RunState) -> None:
        job = claimed(ledger)
        with pytest.raises(StateError):
            ledger.attempts.report(job.proof, Report(state))
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED

    def test_after_the_end_only_messages_and_the_same_again(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.attempts.report(job.proof, Report(RunState.FAILED, "broken", "tempest"))
        ledger.attempts.report(job.proof, Report(RunState.FAILED))
        ledger.attempts.report(job.proof, Report(message="removed 3 containers"))
        assert texts(ledger, job.submission.key.test_id)[-1] == "removed 3 containers"
        assert refusal(lambda: ledger.attempts.report(job.proof, Report(RunState.RUNNING))) == "ended"

    def test_superseded_says_nothing_more(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
        assert refusal(lambda: ledger.attempts.report(job.proof, Report(message="still here"))) == "superseded"
        assert refusal(lambda: ledger.attempts.report(job.proof, Report(RunState.FAILED))) == "superseded"

    def test_the_password_in_a_message_is_masked(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        ledger.attempts.report(job.proof, Report(RunState.FAILED, f"cannot log in with {PASSWORD}", "cloud"))
        assert texts(ledger, job.submission.key.test_id)[-1] == "failed: cannot log in with ***"
        assert PASSWORD not in ledger.runs.get(job.submission.key.test_id).message

    def test_messages_of_one_run_have_an_end(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("refstack_worker.server.ledger.single_statements.MESSAGES_PER_RUN", 10)
        job = claimed(ledger)
        for number in range(20):
            ledger.attempts.report(job.proof, Report(message=f"message {number}"))
        assert len(texts(ledger, job.submission.key.test_id)) == 10

    def test_messages_after(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        first, second = ledger.runs.messages(job.submission.key.test_id)
        assert ledger.runs.messages(job.submission.key.test_id, after=first.id) == [second]
        assert abs(first.timestamp - ledger.clock()) < 1


def test_a_report_makes_no_run_held_that_nobody_claimed(ledger: Ledger) -> None:
    job = queued(ledger)
    ledger.attempts.report(job.proof, Report(RunState.RUNNING, "so it says"))
    run = ledger.runs.get(job.submission.key.test_id)
    assert run.state is RunState.QUEUED
    assert [message.message for message in ledger.runs.messages(run.test_id)][-1] == "running: so it says"
