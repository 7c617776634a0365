"""The ledger's rules. The integration tests run the same on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.payload import new_secret
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.contract.testcases import Testcases
from refstack_worker.errors import NotFoundError, PayloadError, RefusedError, ResultError, StateError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.attempts import (
    AttemptKey,
    Claim,
    OverdueReason,
    Proof,
    QueuedJob,
    Release,
)
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.results import ResultQuery, Upload
from refstack_worker.server.domain.runs import RunQuery, RunSpec
from refstack_worker.server.ledger import results
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import CONF, PASSWORD, Clock, Event, Job, claimed, new_run, queued, stream, submit

CLAIM = "claim-of-node-1"
PASSES = [Event("a.B.test_c[id-00000000-0000-0000-0000-000000000001,smoke]"), Event("a.B.test_d", "skip", "not here")]


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., Upload]:
    def make(data: bytes | None = None, **summary: Any) -> Upload:
        file = tmp_path / f"upload-{new_secret()}"
        file.write_bytes(stream(PASSES) if data is None else data)
        return Upload.of(file, summary)

    return make


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value.reason


def texts(ledger: Ledger, test_id: int) -> list[str]:
    return [message.message for message in ledger.runs.messages(test_id)]


def beat(ledger: Ledger, job: Job, claim: str = CLAIM) -> HeartbeatReply:
    return ledger.attempts.heartbeat(job.proof, claim, Progress(total=5, done=2)).reply


class TestRecording:
    def test_a_run_is_queued_as_attempt_one_and_says_so_in_the_legacy_table(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run(label="first"))
        assert (run.state, run.attempt, run.label) == (RunState.QUEUED, 1, "first")
        assert run.spec.timeout == ledger.settings.rules.run_timeout
        assert texts(ledger, run.test_id) == ["queued"]

    def test_everything_asked_for_comes_back(self, ledger: Ledger) -> None:
        spec = RunSpec("46.3.0", "", {"a-plugin": "1.0"}, Testcases(("a.b",), ("c.*",)), 4, 600, "eu", 1)
        assert ledger.runs.get(ledger.runs.add(new_run(spec=spec)).test_id).spec == spec

    @pytest.mark.parametrize(
        "spec",
        [
            RunSpec(),
            RunSpec("47.0.0", "2025.1"),
            RunSpec("47; rm -rf /"),
            RunSpec("47.0.0", timeout=5),
            RunSpec("47.0.0", testcases=Testcases(regexes=("(",))),
            RunSpec("47.0.0", testcases=Testcases(names=("--config-file=/etc/passwd",))),
            RunSpec("47.0.0", priority=7),
        ],
    )
    def test_what_no_worker_would_take_is_refused(self, ledger: Ledger, spec: RunSpec) -> None:
        with pytest.raises(PayloadError):
            ledger.runs.add(new_run(spec=spec))
        assert ledger.runs.find(RunQuery()) == []

    def test_options_that_no_vendor_may_set_are_refused(self, ledger: Ledger) -> None:
        with pytest.raises(PayloadError, match="lock_path"):
            ledger.runs.add(new_run(conf_json={"oslo_concurrency": {"lock_path": "/etc"}}))

    def test_a_legacy_test_is_run_once(self, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            connection.execute(insert(legacy_tables.test).values(id=41, finished=False))
        assert ledger.runs.add(new_run(test_id=41)).test_id == 41
        with pytest.raises(StateError):
            ledger.runs.add(new_run(test_id=41))
        with pytest.raises(NotFoundError):
            ledger.runs.add(new_run(test_id=42))

    def test_the_same_idempotency_key_gives_the_same_run(self, ledger: Ledger) -> None:
        first = ledger.runs.add(new_run(idempotency_key="k", created_by="a"))
        assert ledger.runs.add(new_run(idempotency_key="k", created_by="a")).test_id == first.test_id
        assert ledger.runs.add(new_run(idempotency_key="k", created_by="b")).test_id != first.test_id

    def test_the_same_idempotency_key_at_the_same_time_gives_one_run(self, ledger: Ledger) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(
                pool.map(lambda _: ledger.runs.add(new_run(idempotency_key="k", created_by="a")).test_id, range(16))
            )
        assert len(set(made)) == 1
        assert len(ledger.runs.find(RunQuery())) == 1

    def test_passwords_are_kept_sealed_and_wiped_at_the_end(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run())
        with ledger.database.reading() as connection:
            row = str(connection.execute(select(queue_tables.run)).mappings().one())
        assert PASSWORD not in row and ledger.runs.conf_json(run.test_id) == CONF
        ledger.runs.cancel(run.test_id, "me")
        assert ledger.runs.conf_json(run.test_id) == {}
        with ledger.database.reading() as connection:
            assert connection.execute(select(queue_tables.run.c.sealed_conf)).scalar() is None

    def test_lists_are_narrowed_and_paged(self, ledger: Ledger) -> None:
        for number in range(5):
            ledger.runs.add(new_run(label=f"Run 1{number}%", spec=RunSpec("47.0.0" if number % 2 else "46.3.0")))
        ledger.runs.cancel(3, "me")
        ids = [run.test_id for run in ledger.runs.find(RunQuery(limit=2))]
        assert ids == [5, 4]
        assert [run.test_id for run in ledger.runs.find(RunQuery(before=4, limit=2))] == [3, 2]
        assert [run.test_id for run in ledger.runs.find(RunQuery(states=(RunState.CANCELLED,)))] == [3]
        assert [run.test_id for run in ledger.runs.find(RunQuery(tempest_version="47.0.0"))] == [4, 2]
        assert [run.test_id for run in ledger.runs.find(RunQuery(text="run 13%"))] == [4]
        assert ledger.runs.find(RunQuery(text="1_%")) == []

    def test_unknown_runs(self, ledger: Ledger) -> None:
        for call in (lambda: ledger.runs.get(7), lambda: ledger.runs.cancel(7, "me"), lambda: ledger.results.get(7)):
            with pytest.raises(NotFoundError):
                call()


class TestDispatch:
    def test_two_submitters_never_get_the_same(self, ledger: Ledger) -> None:
        wanted = {ledger.runs.add(new_run()).test_id for _ in range(30)}
        with ThreadPoolExecutor(6) as pool:
            taken = [
                one.key.test_id for some in pool.map(lambda _: ledger.submissions.next(7), range(12)) for one in some
            ]
        assert sorted(taken) == sorted(wanted)

    def test_the_urgent_come_first(self, ledger: Ledger) -> None:
        ids = [ledger.runs.add(new_run(spec=RunSpec("47.0.0", priority=wish))).test_id for wish in (-1, 0, 1)]
        assert [one.key.test_id for one in ledger.submissions.next()] == ids[::-1]

    def test_a_submission_opens_the_passwords_and_carries_a_fresh_secret(self, ledger: Ledger) -> None:
        ledger.runs.add(new_run())
        (one,) = ledger.submissions.next()
        assert one.conf_json == CONF
        assert PASSWORD not in repr(one) and one.secret not in repr(one)

    def test_what_was_surely_not_queued_is_taken_again(self, ledger: Ledger) -> None:
        ledger.runs.add(new_run())
        (one,) = ledger.submissions.next()
        assert ledger.submissions.next() == []
        ledger.submissions.sealed([(one, "d" * 64)])
        ledger.submissions.failed([one], "refused")
        (again,) = ledger.submissions.next()
        assert again.key == one.key and again.secret != one.secret

    def test_a_submitter_that_dies_after_sealing_spends_the_attempt(self, ledger: Ledger, clock: Clock) -> None:
        ledger.runs.add(new_run())
        (one,) = ledger.submissions.next()
        ledger.submissions.sealed([(one, "d" * 64)])
        clock.forward(61)
        assert ledger.submissions.next() == []
        assert ledger.submissions.expire_leases() == [one.key]
        (next_one,) = ledger.submissions.next()
        assert next_one.key == AttemptKey(one.key.test_id, 2)
        assert [attempt.outcome for attempt in ledger.attempts.of_run(one.key.test_id)] == ["queue-lost", ""]

    def test_a_cancel_between_sealing_and_submitting_withdraws_the_job(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run())
        (one,) = ledger.submissions.next()
        ledger.runs.cancel(run.test_id, "me")
        assert ledger.submissions.sealed([(one, "d" * 64)]) == set()
        run = ledger.runs.add(new_run())
        (one,) = ledger.submissions.next()
        ledger.submissions.sealed([(one, "d" * 64)])
        ledger.runs.cancel(run.test_id, "me")
        assert ledger.submissions.to_withdraw() == []
        job = QueuedJob(one.key, "gearman:4730", "H:1", "refstack:tempest:47.0.0", 0.0)
        ledger.submissions.submitted([job])
        (found,) = ledger.submissions.to_withdraw()
        assert (found.key, found.handle) == (one.key, "H:1")
        ledger.submissions.withdrawn([one.key])
        assert ledger.submissions.to_withdraw() == []

    def test_a_cancelled_queued_job_is_to_be_withdrawn_a_claimed_one_is_not(self, ledger: Ledger) -> None:
        waiting, held = queued(ledger), claimed(ledger)
        ledger.runs.cancel(waiting.submission.key.test_id, "me")
        ledger.runs.cancel(held.submission.key.test_id, "me")
        ledger.attempts.report(held.proof, Report(RunState.CANCELLED))
        assert [job.key for job in ledger.submissions.to_withdraw()] == [waiting.submission.key]

    def test_waiting_jobs_are_those_that_nobody_claimed(self, ledger: Ledger, clock: Clock) -> None:
        waiting = queued(ledger)
        claimed(ledger)
        assert ledger.submissions.waiting() == []
        clock.forward(11)
        assert [job.key for job in ledger.submissions.waiting()] == [waiting.submission.key]

    def test_what_the_queue_lost_follows_without_counting(self, ledger: Ledger) -> None:
        key = queued(ledger).submission.key
        for number in range(1, 8):
            assert ledger.attempts.requeue(AttemptKey(key.test_id, number), Release.QUEUE_LOST, "gearmand restarted")
            submit(ledger, key.test_id)
        assert ledger.runs.get(key.test_id).attempt == 8
        assert not ledger.attempts.requeue(key, Release.QUEUE_LOST, "late news")

    def test_lost_by_the_queue_cannot_be_what_a_worker_holds(self, ledger: Ledger) -> None:
        key = claimed(ledger).submission.key
        assert not ledger.attempts.requeue(key, Release.QUEUE_LOST, "gearmand restarted")
        assert ledger.runs.get(key.test_id).state is RunState.CLAIMED

    def test_no_submissions_while_paused(self, ledger: Ledger) -> None:
        ledger.runs.add(new_run())
        ledger.queue.pause("operator")
        assert ledger.queue.is_paused() and ledger.submissions.next() == []
        ledger.queue.resume("operator")
        assert len(ledger.submissions.next()) == 1

    def test_unsubmittable(self, ledger: Ledger) -> None:
        key = ledger.runs.add(new_run()) and ledger.submissions.next()[0].key
        ledger.submissions.unsubmittable(key, "payload", "too large")
        run = ledger.runs.get(key.test_id)
        assert (run.state, run.reason, run.message) == (RunState.FAILED, "payload", "too large")


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


class TestLosing:
    def test_silence_makes_the_next_attempt_and_the_limit_ends_it(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        for number in (1, 2, 3):
            assert ledger.runs.get(test_id).attempt == number
            clock.forward(61)
            (silent,) = ledger.deadlines.silent()
            assert ledger.deadlines.lose_silent(silent.key, "node-1 was silent")
            assert not ledger.deadlines.lose_silent(silent.key, "a second monitor")
            if number < 3:
                job = submit(ledger, test_id).by(f"c{number}")
                assert ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-1")).granted
        run = ledger.runs.get(test_id)
        assert (run.state, run.reason) == (RunState.FAILED, "lost")
        assert "3 lost attempts" in run.message
        assert [attempt.outcome for attempt in ledger.attempts.of_run(test_id)] == ["lost"] * 3

    def test_heard_of_in_the_meantime_is_not_lost(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        clock.forward(61)
        (silent,) = ledger.deadlines.silent()
        beat(ledger, job)
        assert not ledger.deadlines.lose_silent(silent.key, "silent")
        assert ledger.runs.get(job.submission.key.test_id).attempt == 1

    def test_releases_do_not_count_as_lost(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        for _ in range(5):
            ledger.attempts.release(job.proof, CLAIM, "node-1 restarts")
            ledger.attempts.release(job.proof, CLAIM, "node-1 restarts, said again")
            job = submit(ledger, test_id)
            assert ledger.attempts.claim(job.proof, Claim(CLAIM, "node-1")).granted
        assert ledger.runs.get(test_id).attempt == 6

    def test_releases_have_a_limit_of_their_own(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        for _ in range(ledger.settings.rules.release_limit):
            ledger.attempts.release(job.proof, CLAIM, "again")
            job = submit(ledger, test_id)
            ledger.attempts.claim(job.proof, Claim(CLAIM, "node-1"))
        ledger.attempts.release(job.proof, CLAIM, "again")
        assert (ledger.runs.get(test_id).state, ledger.runs.get(test_id).reason) == (RunState.FAILED, "attempts")

    def test_no_name_of_a_claim_holds_what_nobody_claimed(self, ledger: Ledger) -> None:
        job = queued(ledger)
        assert refusal(lambda: ledger.attempts.release(job.proof, "", "mine!")) == "claimed"
        assert beat(ledger, job, "") is HeartbeatReply.STOP
        assert ledger.runs.get(job.submission.key.test_id).attempt == 1

    def test_only_the_holder_releases(self, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert refusal(lambda: ledger.attempts.release(job.proof, "other", "mine!")) == "claimed"

    def test_a_worker_lost_while_cancelling_is_a_cancelled_run(self, ledger: Ledger, clock: Clock) -> None:
        job = claimed(ledger)
        ledger.runs.cancel(job.submission.key.test_id, "me")
        clock.forward(61)
        assert ledger.deadlines.lose_silent(job.submission.key, "silent")
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CANCELLED

    def test_overdue(self, ledger: Ledger, clock: Clock) -> None:
        waiting, working, stubborn = queued(ledger), claimed(ledger), claimed(ledger)
        ledger.runs.cancel(stubborn.submission.key.test_id, "me")
        clock.forward(61)
        assert [(one.key, one.reason) for one in ledger.deadlines.overdue()] == [
            (stubborn.submission.key, OverdueReason.CANCEL)
        ]
        clock.forward(86400)
        overdue = {one.reason: one for one in ledger.deadlines.overdue()}
        assert set(overdue) == {OverdueReason.CANCEL, OverdueReason.QUEUE, OverdueReason.RUN}
        assert all(ledger.deadlines.expire(one) for one in overdue.values())
        assert not any(ledger.deadlines.expire(one) for one in overdue.values())
        assert ledger.runs.get(waiting.submission.key.test_id).reason == "queue-timeout"
        assert ledger.runs.get(working.submission.key.test_id).reason == "timeout"
        assert ledger.runs.get(stubborn.submission.key.test_id).state is RunState.CANCELLED


def of_others(job: Job) -> list[Proof]:
    """What somebody can show who took the same job from the queue and did not get the claim."""
    return [job.by("other").proof, replace(job.proof, mark=""), replace(job.proof, mark=job.claim_id)]


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


class TestResults:
    def test_accepting_finishes_the_run_and_fills_the_legacy_row(
        self, ledger: Ledger, upload: Callable[..., Upload]
    ) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        given = upload(exit_code=0)
        accepted = acceptance.accept(ledger, job.proof, given)
        assert (accepted.repeated, accepted.counts.passed, accepted.counts.skipped) == (False, 1, 1)
        run = ledger.runs.get(test_id)
        assert (run.state, run.counts.total) == (RunState.FINISHED, 2)
        with ledger.database.reading() as connection:
            row = (
                connection.execute(select(legacy_tables.test).where(legacy_tables.test.c.id == test_id))
                .mappings()
                .one()
            )
        assert row["finished"] is True and row["subunit"] is None
        assert b"".join(ledger.results.stream(test_id)) == given.path.read_bytes()
        assert ledger.results.get(test_id)["summary"] == {"exit_code": 0}
        first, second = ledger.results.tests(test_id, ResultQuery())
        assert (first.name, first.uuid) == ("a.B.test_c", "00000000-0000-0000-0000-000000000001")
        assert (second.status, second.reason, second.seconds) == ("skipped", "not here", 1.0)
        assert ledger.results.tests(test_id, ResultQuery("passed")) == [first]
        assert ledger.results.tests(test_id, ResultQuery(text="TEST_D")) == [second]
        assert ledger.results.tests(test_id, ResultQuery(after=1)) == [second]

    def test_the_same_bytes_again_get_the_same_answer(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        acceptance.accept(ledger, job.proof, upload())
        before = texts(ledger, job.submission.key.test_id)
        assert acceptance.accept(ledger, job.proof, upload()).repeated
        assert texts(ledger, job.submission.key.test_id) == before
        assert refusal(lambda: acceptance.accept(ledger, job.proof, upload(stream(PASSES[:1])))) == "accepted"
        assert ledger.runs.get(job.submission.key.test_id).counts.total == 2

    def test_many_at_once_are_accepted_once(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        given = [upload() for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda one: acceptance.accept(ledger, job.proof, one), given))
        assert sorted(answer.repeated for answer in answers) == [False] + [True] * 5
        assert len(ledger.results.tests(job.submission.key.test_id, ResultQuery())) == 2

    def test_only_the_holder_posts_the_result(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        for proof in of_others(job):
            assert refusal(lambda proof=proof: ledger.attempts.check_known(proof)) == "claimed"
            assert refusal(lambda proof=proof: acceptance.accept(ledger, proof, upload())) == "claimed"
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED
        assert not acceptance.accept(ledger, job.proof, upload()).repeated
        for proof in of_others(job):
            assert refusal(lambda proof=proof: acceptance.accept(ledger, proof, upload())) == "claimed", (
                "nor tells about it"
            )

    def test_a_result_that_races_with_anothers_claim_is_refused(
        self, ledger: Ledger, upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = queued(ledger)
        real = results._run_of

        def claimed_meanwhile(test_id: int) -> Any:
            monkeypatch.setattr(results, "_run_of", real)
            assert ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-1")).granted
            return real(test_id)

        monkeypatch.setattr(results, "_run_of", claimed_meanwhile)
        # SQLite goes on to see what it saw first, PostgreSQL sees the claim
        refused = refusal(lambda: acceptance.accept(ledger, replace(job.proof, mark=""), upload()))
        assert refused in ("claimed", "unclaimed")
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED

    def test_a_superseded_attempt_never_overwrites(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        old = claimed(ledger)
        ledger.attempts.requeue(old.submission.key, Release.LOST, "silent")
        assert refusal(lambda: acceptance.accept(ledger, old.proof, upload())) == "superseded"
        new = submit(ledger, old.submission.key.test_id).by("c2")
        ledger.attempts.claim(new.proof, Claim(new.claim_id, "node-2"))
        acceptance.accept(ledger, new.proof, upload())
        assert refusal(lambda: acceptance.accept(ledger, old.proof, upload(stream(PASSES[:1])))) == "superseded"
        assert refusal(lambda: acceptance.accept(ledger, old.proof, upload())) == "superseded"
        assert ledger.results.get(old.submission.key.test_id)["attempt"] == 2

    def test_no_result_for_what_has_ended_or_was_never_claimed(
        self, ledger: Ledger, upload: Callable[..., Upload]
    ) -> None:
        job = queued(ledger)
        assert refusal(lambda: acceptance.accept(ledger, job.proof, upload())) == "unclaimed"
        ledger.runs.cancel(job.submission.key.test_id, "me")
        assert refusal(lambda: acceptance.accept(ledger, job.proof, upload())) == "ended"

    def test_a_result_under_way_wins_over_a_cancel(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        ledger.runs.cancel(job.submission.key.test_id, "me")
        acceptance.accept(ledger, job.proof, upload())
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.FINISHED

    def test_a_damaged_stream_leaves_the_run_as_it_was(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        with pytest.raises(ResultError):
            acceptance.accept(ledger, job.proof, upload(stream(PASSES)[:-3]))
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED
        assert not acceptance.accept(ledger, job.proof, upload()).repeated

    def test_a_large_stream_comes_back_whole(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        import random

        noise = random.Random(7)
        data = stream([Event(f"t.{i}", "fail", noise.randbytes(40_000).hex()) for i in range(60)])
        job = claimed(ledger)
        acceptance.accept(ledger, job.proof, upload(data))
        pieces = list(ledger.results.stream(job.submission.key.test_id))
        assert b"".join(pieces) == data and max(map(len, pieces)) <= 1024 * 1024

    def test_passwords_in_tracebacks_are_masked(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        data = stream([Event("t", "fail", f"Unauthorized: {{'password': '{PASSWORD}'}}")])
        acceptance.accept(ledger, job.proof, upload(data))
        (test,) = ledger.results.tests(job.submission.key.test_id, ResultQuery())
        assert test.reason == "Unauthorized: {'password': '***'}"

    def test_anonymous(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        test_id = acceptance.accept_anonymous(ledger, upload())
        assert len(ledger.results.tests(test_id, ResultQuery())) == 2
        with pytest.raises(NotFoundError):
            ledger.runs.get(test_id)


class TestOperators:
    def test_nodes(self, ledger: Ledger) -> None:
        node = Node("node-1", ("47.0.0",), 2, 1, ("eu",), "ready", "1.0", time=100.0)
        ledger.nodes.record(node)
        assert refusal(lambda: ledger.nodes.record(node)) == "replayed"
        ledger.nodes.record(Node("node-1", (), 2, 0, (), "draining", "1.0", time=101.0))
        (found,) = ledger.nodes.all()
        assert (found.state, found.versions, found.seen_at) == ("draining", (), ledger.clock())

    def test_tokens(self, ledger: Ledger, clock: Clock) -> None:
        token, secret = ledger.tokens.add("ci", ["operator", "operator"], expires_at=clock() + 100)
        assert token.scopes == ("operator",) and secret.startswith("rsq_")
        found = ledger.tokens.find(secret)
        assert found is not None and found.id == token.id
        assert ledger.tokens.all()[0].last_used_at == clock()
        assert ledger.tokens.find(secret + "x") is None and ledger.tokens.find("") is None
        clock.forward(101)
        assert ledger.tokens.find(secret) is None
        _other, secret = ledger.tokens.add("vendor", ["vendor"])
        ledger.tokens.revoke(2)
        assert ledger.tokens.find(secret) is None
        with pytest.raises(NotFoundError):
            ledger.tokens.revoke(9)

    def test_count_states(self, ledger: Ledger) -> None:
        queued(ledger), queued(ledger), claimed(ledger)
        assert ledger.queue.count_states() == {"claimed": 1, "queued": 2}


def test_a_report_makes_no_run_held_that_nobody_claimed(ledger: Ledger) -> None:
    job = queued(ledger)
    ledger.attempts.report(job.proof, Report(RunState.RUNNING, "so it says"))
    run = ledger.runs.get(job.submission.key.test_id)
    assert run.state is RunState.QUEUED
    assert [message.message for message in ledger.runs.messages(run.test_id)][-1] == "running: so it says"
