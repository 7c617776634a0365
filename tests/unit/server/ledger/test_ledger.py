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

from refstack_worker.contract.payload import Testcases, new_secret
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress, Report
from refstack_worker.errors import NotFoundError, PayloadError, RefusedError, ResultError, StateError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.attempts import (
    AttemptKey,
    Claim,
    Heartbeat,
    HeartbeatReply,
    OverdueReason,
    Proof,
    QueuedJob,
    Release,
)
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import RunQuery, RunSpec
from refstack_worker.server.ledger import results
from refstack_worker.server.ledger.ledger import Store
from refstack_worker.server.ledger.results import Upload
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


def texts(store: Store, test_id: int) -> list[str]:
    return [message.message for message in store.messages(test_id)]


def beat(store: Store, job: Job, claim: str = CLAIM) -> HeartbeatReply:
    return store.heartbeat(job.proof, Heartbeat(claim, "node-1", Progress(total=5, done=2))).order


class TestRecording:
    def test_a_run_is_queued_as_attempt_one_and_says_so_in_the_legacy_table(self, store: Store) -> None:
        run = store.add_run(new_run(label="first"))
        assert (run.state, run.attempt, run.label) == (RunState.QUEUED, 1, "first")
        assert run.spec.timeout == store.settings.rules.run_timeout
        assert texts(store, run.test_id) == ["queued"]

    def test_everything_asked_for_comes_back(self, store: Store) -> None:
        spec = RunSpec("46.3.0", "", {"a-plugin": "1.0"}, Testcases(("a.b",), ("c.*",)), 4, 600, "eu", 1)
        assert store.run(store.add_run(new_run(spec=spec)).test_id).spec == spec

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
    def test_what_no_worker_would_take_is_refused(self, store: Store, spec: RunSpec) -> None:
        with pytest.raises(PayloadError):
            store.add_run(new_run(spec=spec))
        assert store.runs(RunQuery()) == []

    def test_options_that_no_vendor_may_set_are_refused(self, store: Store) -> None:
        with pytest.raises(PayloadError, match="lock_path"):
            store.add_run(new_run(conf_json={"oslo_concurrency": {"lock_path": "/etc"}}))

    def test_a_legacy_test_is_run_once(self, store: Store) -> None:
        with store.database.writing() as connection:
            connection.execute(insert(legacy_tables.test).values(id=41, finished=False))
        assert store.add_run(new_run(test_id=41)).test_id == 41
        with pytest.raises(StateError):
            store.add_run(new_run(test_id=41))
        with pytest.raises(NotFoundError):
            store.add_run(new_run(test_id=42))

    def test_the_same_idempotency_key_gives_the_same_run(self, store: Store) -> None:
        first = store.add_run(new_run(idempotency_key="k", created_by="a"))
        assert store.add_run(new_run(idempotency_key="k", created_by="a")).test_id == first.test_id
        assert store.add_run(new_run(idempotency_key="k", created_by="b")).test_id != first.test_id

    def test_the_same_idempotency_key_at_the_same_time_gives_one_run(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(
                pool.map(lambda _: store.add_run(new_run(idempotency_key="k", created_by="a")).test_id, range(16))
            )
        assert len(set(made)) == 1
        assert len(store.runs(RunQuery())) == 1

    def test_passwords_are_kept_sealed_and_wiped_at_the_end(self, store: Store) -> None:
        run = store.add_run(new_run())
        with store.database.reading() as connection:
            row = str(connection.execute(select(queue_tables.run)).mappings().one())
        assert PASSWORD not in row and store.conf_json(run.test_id) == CONF
        store.cancel(run.test_id, "me")
        assert store.conf_json(run.test_id) == {}
        with store.database.reading() as connection:
            assert connection.execute(select(queue_tables.run.c.sealed_conf)).scalar() is None

    def test_lists_are_narrowed_and_paged(self, store: Store) -> None:
        for number in range(5):
            store.add_run(new_run(label=f"Run 1{number}%", spec=RunSpec("47.0.0" if number % 2 else "46.3.0")))
        store.cancel(3, "me")
        ids = [run.test_id for run in store.runs(RunQuery(limit=2))]
        assert ids == [5, 4]
        assert [run.test_id for run in store.runs(RunQuery(before=4, limit=2))] == [3, 2]
        assert [run.test_id for run in store.runs(RunQuery(states=(RunState.CANCELLED,)))] == [3]
        assert [run.test_id for run in store.runs(RunQuery(tempest_version="47.0.0"))] == [4, 2]
        assert [run.test_id for run in store.runs(RunQuery(text="run 13%"))] == [4]
        assert store.runs(RunQuery(text="1_%")) == []

    def test_unknown_runs(self, store: Store) -> None:
        for call in (lambda: store.run(7), lambda: store.cancel(7, "me"), lambda: store.result(7)):
            with pytest.raises(NotFoundError):
                call()


class TestDispatch:
    def test_two_submitters_never_get_the_same(self, store: Store) -> None:
        wanted = {store.add_run(new_run()).test_id for _ in range(30)}
        with ThreadPoolExecutor(6) as pool:
            taken = [one.key.test_id for some in pool.map(lambda _: store.next_to_submit(7), range(12)) for one in some]
        assert sorted(taken) == sorted(wanted)

    def test_the_urgent_come_first(self, store: Store) -> None:
        ids = [store.add_run(new_run(spec=RunSpec("47.0.0", priority=wish))).test_id for wish in (-1, 0, 1)]
        assert [one.key.test_id for one in store.next_to_submit()] == ids[::-1]

    def test_a_submission_opens_the_passwords_and_carries_a_fresh_secret(self, store: Store) -> None:
        store.add_run(new_run())
        (one,) = store.next_to_submit()
        assert one.conf_json == CONF
        assert PASSWORD not in repr(one) and one.secret not in repr(one)

    def test_what_was_surely_not_queued_is_taken_again(self, store: Store) -> None:
        store.add_run(new_run())
        (one,) = store.next_to_submit()
        assert store.next_to_submit() == []
        store.sealed([(one, "d" * 64)])
        store.submit_failed([one.key], "refused")
        (again,) = store.next_to_submit()
        assert again.key == one.key and again.secret != one.secret

    def test_a_lease_that_ran_out_before_sealing_is_free_and_its_first_holder_is_late(
        self, store: Store, clock: Clock
    ) -> None:
        store.add_run(new_run())
        (late,) = store.next_to_submit()
        clock.forward(61)
        (one,) = store.next_to_submit()
        assert one.key == late.key
        assert store.sealed([(late, "a" * 64)]) == set()
        assert store.sealed([(one, "b" * 64)]) == {one.key}

    def test_a_submitter_that_dies_after_sealing_spends_the_attempt(self, store: Store, clock: Clock) -> None:
        store.add_run(new_run())
        (one,) = store.next_to_submit()
        store.sealed([(one, "d" * 64)])
        clock.forward(61)
        assert store.next_to_submit() == []
        assert store.expire_leases() == [one.key]
        (next_one,) = store.next_to_submit()
        assert next_one.key == AttemptKey(one.key.test_id, 2)
        assert [attempt.outcome for attempt in store.attempts(one.key.test_id)] == ["queue-lost", ""]

    def test_a_cancel_between_sealing_and_submitting_withdraws_the_job(self, store: Store) -> None:
        run = store.add_run(new_run())
        (one,) = store.next_to_submit()
        store.cancel(run.test_id, "me")
        assert store.sealed([(one, "d" * 64)]) == set()
        run = store.add_run(new_run())
        (one,) = store.next_to_submit()
        store.sealed([(one, "d" * 64)])
        store.cancel(run.test_id, "me")
        assert store.jobs_to_withdraw() == []
        job = QueuedJob(one.key, "gearman:4730", "H:1", "refstack:tempest:47.0.0", 0.0)
        store.submitted([job])
        (found,) = store.jobs_to_withdraw()
        assert (found.key, found.handle) == (one.key, "H:1")
        store.withdrawn([one.key])
        assert store.jobs_to_withdraw() == []

    def test_a_cancelled_queued_job_is_to_be_withdrawn_a_claimed_one_is_not(self, store: Store) -> None:
        waiting, held = queued(store), claimed(store)
        store.cancel(waiting.submission.key.test_id, "me")
        store.cancel(held.submission.key.test_id, "me")
        store.report(held.proof, Report(RunState.CANCELLED))
        assert [job.key for job in store.jobs_to_withdraw()] == [waiting.submission.key]

    def test_waiting_jobs_are_those_that_nobody_claimed(self, store: Store, clock: Clock) -> None:
        waiting = queued(store)
        claimed(store)
        assert store.waiting_jobs() == []
        clock.forward(11)
        assert [job.key for job in store.waiting_jobs()] == [waiting.submission.key]

    def test_what_the_queue_lost_follows_without_counting(self, store: Store) -> None:
        key = queued(store).submission.key
        for number in range(1, 8):
            assert store.give_back(AttemptKey(key.test_id, number), Release.QUEUE_LOST, "gearmand restarted")
            submit(store, key.test_id)
        assert store.run(key.test_id).attempt == 8
        assert not store.give_back(key, Release.QUEUE_LOST, "late news")

    def test_lost_by_the_queue_cannot_be_what_a_worker_holds(self, store: Store) -> None:
        key = claimed(store).submission.key
        assert not store.give_back(key, Release.QUEUE_LOST, "gearmand restarted")
        assert store.run(key.test_id).state is RunState.CLAIMED

    def test_no_submissions_while_paused(self, store: Store) -> None:
        store.add_run(new_run())
        store.pause("operator")
        assert store.is_paused() and store.next_to_submit() == []
        store.resume("operator")
        assert len(store.next_to_submit()) == 1

    def test_unsubmittable(self, store: Store) -> None:
        key = store.add_run(new_run()) and store.next_to_submit()[0].key
        store.unsubmittable(key, "payload", "too large")
        run = store.run(key.test_id)
        assert (run.state, run.reason, run.message) == (RunState.FAILED, "payload", "too large")


class TestClaims:
    def test_one_of_many_wins(self, store: Store) -> None:
        job = queued(store)
        start = threading.Barrier(8)

        def grab(number: int) -> bool:
            start.wait()
            return store.claim(job.proof, Claim(f"claim-{number}", f"node-{number}", "47.0.0")).granted

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(grab, range(8))) == 1
        assert store.run(job.submission.key.test_id).state is RunState.CLAIMED

    def test_the_same_claim_again_is_granted_again(self, store: Store) -> None:
        job = claimed(store)
        assert store.claim(job.proof, Claim(CLAIM, "node-1")).granted
        assert len(texts(store, job.submission.key.test_id)) == 2

    def test_another_claim_is_told_why_not_and_contests(self, store: Store, clock: Clock) -> None:
        job = claimed(store)
        answer = store.claim(job.proof, Claim("other", "node-2"))
        assert (answer.granted, answer.reason) == (False, "claimed")
        clock.forward(5)
        assert store.silent_attempts() == []
        clock.forward(2)
        assert [one.key for one in store.silent_attempts()] == [job.submission.key]
        assert beat(store, job) is HeartbeatReply.GO
        assert store.silent_attempts() == []
        clock.forward(30)
        assert store.silent_attempts() == [], "a heartbeat ends the doubt"

    def test_worker_that_was_last_heard_in_times_to_come_is_silent(self, store: Store, clock: Clock) -> None:
        job = claimed(store)
        clock.forward(-3600)
        assert [one.key for one in store.silent_attempts()] == [job.submission.key]
        assert beat(store, job) is HeartbeatReply.GO
        assert store.silent_attempts() == [], "it is heard by the clock as it is now"

    def test_what_is_over_cannot_be_claimed(self, store: Store) -> None:
        job = queued(store)
        store.cancel(job.submission.key.test_id, "me")
        assert store.claim(job.proof, Claim("x", "node-1")).reason == "cancelled"
        old = queued(store)
        store.give_back(old.submission.key, Release.QUEUE_LOST, "lost")
        assert store.claim(old.proof, Claim("x", "node-1")).reason == "superseded"

    def test_a_claim_while_paused_is_dropped_and_comes_again(self, store: Store) -> None:
        job = queued(store)
        store.pause("operator")
        assert store.claim(job.proof, Claim("x", "node-1")).reason == "paused"
        assert store.next_to_submit() == []
        store.resume("operator")
        (again,) = store.next_to_submit()
        assert again.key.attempt == 2

    def test_without_the_proof_nothing_goes(self, store: Store) -> None:
        job = queued(store)
        test_id = job.submission.key.test_id
        other = queued(store)
        claim = Claim("x", "node-1")
        assert refusal(lambda: store.claim(Proof(test_id, "", 1), claim)) == "no-proof"
        assert refusal(lambda: store.claim(Proof(test_id, new_secret(), 1), claim)) == "wrong-proof"
        assert refusal(lambda: store.claim(Proof(test_id, other.submission.secret, 1), claim)) == "wrong-proof"
        assert refusal(lambda: store.claim(Proof(test_id, job.submission.secret, 2), claim)) == "wrong-proof"
        with pytest.raises(NotFoundError):
            store.claim(Proof(999, new_secret(), 1), claim)

    def test_before_it_is_leased_no_secret_proves_anything(self, store: Store) -> None:
        test_id = store.add_run(new_run()).test_id
        for secret in (new_secret(), "None", "null"):
            assert refusal(lambda secret=secret: store.check_proof(Proof(test_id, secret))) == "wrong-proof"


class TestHeartbeats:
    def test_progress_shows_in_the_run(self, store: Store) -> None:
        job = claimed(store)
        assert beat(store, job) is HeartbeatReply.GO
        assert store.run(job.submission.key.test_id).progress == Progress(total=5, done=2)

    def test_a_cancel_travels_in_the_answer_and_ends_with_the_workers_word(self, store: Store) -> None:
        job = claimed(store)
        test_id = job.submission.key.test_id
        assert store.cancel(test_id, "me").state is RunState.CANCELLING
        assert store.cancel(test_id, "me").state is RunState.CANCELLING
        assert beat(store, job) is HeartbeatReply.CANCEL
        store.report(job.proof, Report(RunState.RUNNING, "not heard yet"))
        assert store.run(test_id).state is RunState.CANCELLING
        store.report(job.proof, Report(RunState.CANCELLED, "all processes gone"))
        assert store.run(test_id).state is RunState.CANCELLED
        assert beat(store, job) is HeartbeatReply.STOP
        with pytest.raises(StateError):
            store.cancel(test_id, "me")

    def test_superseded_stops(self, store: Store) -> None:
        job = claimed(store)
        store.give_back(job.submission.key, Release.LOST, "silent")
        assert beat(store, job) is HeartbeatReply.STOP

    def test_a_heartbeat_of_another_claim_keeps_nothing_alive(self, store: Store, clock: Clock) -> None:
        job = claimed(store)
        clock.forward(61)
        assert beat(store, job, "other") is HeartbeatReply.STOP
        assert len(store.silent_attempts()) == 1


class TestLosing:
    def test_silence_makes_the_next_attempt_and_the_limit_ends_it(self, store: Store, clock: Clock) -> None:
        job = claimed(store)
        test_id = job.submission.key.test_id
        for number in (1, 2, 3):
            assert store.run(test_id).attempt == number
            clock.forward(61)
            (silent,) = store.silent_attempts()
            assert store.lose_silent(silent.key, "node-1 was silent")
            assert not store.lose_silent(silent.key, "a second monitor")
            if number < 3:
                job = submit(store, test_id).by(f"c{number}")
                assert store.claim(job.proof, Claim(job.claim_id, "node-1")).granted
        run = store.run(test_id)
        assert (run.state, run.reason) == (RunState.FAILED, "lost")
        assert "3 lost attempts" in run.message
        assert [attempt.outcome for attempt in store.attempts(test_id)] == ["lost"] * 3

    def test_heard_of_in_the_meantime_is_not_lost(self, store: Store, clock: Clock) -> None:
        job = claimed(store)
        clock.forward(61)
        (silent,) = store.silent_attempts()
        beat(store, job)
        assert not store.lose_silent(silent.key, "silent")
        assert store.run(job.submission.key.test_id).attempt == 1

    def test_releases_do_not_count_as_lost(self, store: Store) -> None:
        job = claimed(store)
        test_id = job.submission.key.test_id
        for _ in range(5):
            store.release(job.proof, CLAIM, "node-1 restarts")
            store.release(job.proof, CLAIM, "node-1 restarts, said again")
            job = submit(store, test_id)
            assert store.claim(job.proof, Claim(CLAIM, "node-1")).granted
        assert store.run(test_id).attempt == 6

    def test_releases_have_a_limit_of_their_own(self, store: Store) -> None:
        job = claimed(store)
        test_id = job.submission.key.test_id
        for _ in range(store.settings.rules.release_limit):
            store.release(job.proof, CLAIM, "again")
            job = submit(store, test_id)
            store.claim(job.proof, Claim(CLAIM, "node-1"))
        store.release(job.proof, CLAIM, "again")
        assert (store.run(test_id).state, store.run(test_id).reason) == (RunState.FAILED, "attempts")

    def test_no_name_of_a_claim_holds_what_nobody_claimed(self, store: Store) -> None:
        job = queued(store)
        assert refusal(lambda: store.release(job.proof, "", "mine!")) == "claimed"
        assert beat(store, job, "") is HeartbeatReply.STOP
        assert store.run(job.submission.key.test_id).attempt == 1

    def test_only_the_holder_releases(self, store: Store) -> None:
        job = claimed(store)
        assert refusal(lambda: store.release(job.proof, "other", "mine!")) == "claimed"

    def test_a_worker_lost_while_cancelling_is_a_cancelled_run(self, store: Store, clock: Clock) -> None:
        job = claimed(store)
        store.cancel(job.submission.key.test_id, "me")
        clock.forward(61)
        assert store.lose_silent(job.submission.key, "silent")
        assert store.run(job.submission.key.test_id).state is RunState.CANCELLED

    def test_overdue(self, store: Store, clock: Clock) -> None:
        waiting, working, stubborn = queued(store), claimed(store), claimed(store)
        store.cancel(stubborn.submission.key.test_id, "me")
        clock.forward(61)
        assert [(one.key, one.why) for one in store.overdue_runs()] == [(stubborn.submission.key, OverdueReason.CANCEL)]
        clock.forward(86400)
        overdue = {one.why: one for one in store.overdue_runs()}
        assert set(overdue) == {OverdueReason.CANCEL, OverdueReason.QUEUE, OverdueReason.RUN}
        assert all(store.expire(one) for one in overdue.values())
        assert not any(store.expire(one) for one in overdue.values())
        assert store.run(waiting.submission.key.test_id).reason == "queue-timeout"
        assert store.run(working.submission.key.test_id).reason == "timeout"
        assert store.run(stubborn.submission.key.test_id).state is RunState.CANCELLED


def of_others(job: Job) -> list[Proof]:
    """What somebody can show who took the same job from the queue and did not get the claim."""
    return [job.by("other").proof, replace(job.proof, mark=""), replace(job.proof, mark=job.claim_id)]


class TestReports:
    def test_only_the_holder_speaks_for_an_attempt(self, store: Store) -> None:
        job = claimed(store)
        before = store.run(job.submission.key.test_id), texts(store, job.submission.key.test_id)
        for proof in of_others(job):
            for said in (Report(RunState.FAILED, "it broke", "tempest"), Report(message="hello")):
                assert refusal(lambda proof=proof, said=said: store.report(proof, said)) == "claimed"
            assert refusal(lambda proof=proof: store.check_proof(proof)) == "claimed"
        assert (store.run(job.submission.key.test_id), texts(store, job.submission.key.test_id)) == before
        store.report(job.proof, Report(RunState.RUNNING))

    def test_the_way_of_a_run(self, store: Store) -> None:
        job = claimed(store)
        for state in (RunState.BUILDING, RunState.RUNNING, RunState.POSTING):
            store.report(job.proof, Report(state, f"{state.value} now"))
            assert store.run(job.submission.key.test_id).state is state
        assert texts(store, job.submission.key.test_id)[2:] == [
            "building: building now",
            "running: running now",
            "posting: posting now",
        ]

    def test_a_late_state_is_only_a_message(self, store: Store) -> None:
        job = claimed(store)
        store.report(job.proof, Report(RunState.RUNNING))
        store.report(job.proof, Report(RunState.BUILDING, "late"))
        assert store.run(job.submission.key.test_id).state is RunState.RUNNING
        assert texts(store, job.submission.key.test_id)[-1] == "building: late"

    def test_failed_says_why(self, store: Store) -> None:
        job = claimed(store)
        store.report(job.proof, Report(RunState.FAILED, "Keystone refused the password", "cloud"))
        run = store.run(job.submission.key.test_id)
        assert (run.state, run.reason, run.message) == (RunState.FAILED, "cloud", "Keystone refused the password")

    @pytest.mark.parametrize("state", [RunState.FINISHED, RunState.QUEUED, RunState.CANCELLING])
    def test_states_that_are_not_a_workers_to_report(self, store: Store, state: RunState) -> None:
        job = claimed(store)
        with pytest.raises(StateError):
            store.report(job.proof, Report(state))
        assert store.run(job.submission.key.test_id).state is RunState.CLAIMED

    def test_after_the_end_only_messages_and_the_same_again(self, store: Store) -> None:
        job = claimed(store)
        store.report(job.proof, Report(RunState.FAILED, "broken", "tempest"))
        store.report(job.proof, Report(RunState.FAILED))
        store.report(job.proof, Report(message="removed 3 containers"))
        assert texts(store, job.submission.key.test_id)[-1] == "removed 3 containers"
        assert refusal(lambda: store.report(job.proof, Report(RunState.RUNNING))) == "ended"

    def test_superseded_says_nothing_more(self, store: Store) -> None:
        job = claimed(store)
        store.give_back(job.submission.key, Release.LOST, "silent")
        assert refusal(lambda: store.report(job.proof, Report(message="still here"))) == "superseded"
        assert refusal(lambda: store.report(job.proof, Report(RunState.FAILED))) == "superseded"

    def test_the_password_in_a_message_is_masked(self, store: Store) -> None:
        job = claimed(store)
        store.report(job.proof, Report(RunState.FAILED, f"cannot log in with {PASSWORD}", "cloud"))
        assert texts(store, job.submission.key.test_id)[-1] == "failed: cannot log in with ***"
        assert PASSWORD not in store.run(job.submission.key.test_id).message

    def test_messages_of_one_run_have_an_end(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("refstack_worker.server.ledger.transactions.MESSAGES_PER_RUN", 10)
        job = claimed(store)
        for number in range(20):
            store.report(job.proof, Report(message=f"message {number}"))
        assert len(texts(store, job.submission.key.test_id)) == 10

    def test_messages_after(self, store: Store) -> None:
        job = claimed(store)
        first, second = store.messages(job.submission.key.test_id)
        assert store.messages(job.submission.key.test_id, after=first.id) == [second]
        assert abs(first.timestamp - store.clock()) < 1


class TestResults:
    def test_accepting_finishes_the_run_and_fills_the_legacy_row(
        self, store: Store, upload: Callable[..., Upload]
    ) -> None:
        job = claimed(store)
        test_id = job.submission.key.test_id
        given = upload(exit_code=0)
        accepted = store.accept_result(job.proof, given)
        assert (accepted.repeated, accepted.counts.passed, accepted.counts.skipped) == (False, 1, 1)
        run = store.run(test_id)
        assert (run.state, run.counts.total) == (RunState.FINISHED, 2)
        with store.database.reading() as connection:
            row = (
                connection.execute(select(legacy_tables.test).where(legacy_tables.test.c.id == test_id))
                .mappings()
                .one()
            )
        assert row["finished"] is True and row["subunit"] is None
        assert b"".join(store.result_stream(test_id)) == given.path.read_bytes()
        assert store.result(test_id)["summary"] == {"exit_code": 0}
        first, second = store.result_tests(test_id, ResultQuery())
        assert (first.name, first.uuid) == ("a.B.test_c", "00000000-0000-0000-0000-000000000001")
        assert (second.status, second.reason, second.seconds) == ("skipped", "not here", 1.0)
        assert store.result_tests(test_id, ResultQuery("passed")) == [first]
        assert store.result_tests(test_id, ResultQuery(text="TEST_D")) == [second]
        assert store.result_tests(test_id, ResultQuery(after=1)) == [second]

    def test_the_same_bytes_again_get_the_same_answer(self, store: Store, upload: Callable[..., Upload]) -> None:
        job = claimed(store)
        store.accept_result(job.proof, upload())
        before = texts(store, job.submission.key.test_id)
        assert store.accept_result(job.proof, upload()).repeated
        assert texts(store, job.submission.key.test_id) == before
        assert refusal(lambda: store.accept_result(job.proof, upload(stream(PASSES[:1])))) == "accepted"
        assert store.run(job.submission.key.test_id).counts.total == 2

    def test_many_at_once_are_accepted_once(self, store: Store, upload: Callable[..., Upload]) -> None:
        job = claimed(store)
        given = [upload() for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda one: store.accept_result(job.proof, one), given))
        assert sorted(answer.repeated for answer in answers) == [False] + [True] * 5
        assert len(store.result_tests(job.submission.key.test_id, ResultQuery())) == 2

    def test_only_the_holder_posts_the_result(self, store: Store, upload: Callable[..., Upload]) -> None:
        job = claimed(store)
        for proof in of_others(job):
            assert refusal(lambda proof=proof: store.check_known(proof)) == "claimed"
            assert refusal(lambda proof=proof: store.accept_result(proof, upload())) == "claimed"
        assert store.run(job.submission.key.test_id).state is RunState.CLAIMED
        assert not store.accept_result(job.proof, upload()).repeated
        for proof in of_others(job):
            assert refusal(lambda proof=proof: store.accept_result(proof, upload())) == "claimed", "nor tells about it"

    def test_a_result_that_races_with_anothers_claim_is_refused(
        self, store: Store, upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = queued(store)
        real = results._run_of

        def claimed_meanwhile(test_id: int) -> Any:
            monkeypatch.setattr(results, "_run_of", real)
            assert store.claim(job.proof, Claim(job.claim_id, "node-1")).granted
            return real(test_id)

        monkeypatch.setattr(results, "_run_of", claimed_meanwhile)
        # SQLite goes on to see what it saw first, PostgreSQL sees the claim
        refused = refusal(lambda: store.accept_result(replace(job.proof, mark=""), upload()))
        assert refused in ("claimed", "unclaimed")
        assert store.run(job.submission.key.test_id).state is RunState.CLAIMED

    def test_a_superseded_attempt_never_overwrites(self, store: Store, upload: Callable[..., Upload]) -> None:
        old = claimed(store)
        store.give_back(old.submission.key, Release.LOST, "silent")
        assert refusal(lambda: store.accept_result(old.proof, upload())) == "superseded"
        new = submit(store, old.submission.key.test_id).by("c2")
        store.claim(new.proof, Claim(new.claim_id, "node-2"))
        store.accept_result(new.proof, upload())
        assert refusal(lambda: store.accept_result(old.proof, upload(stream(PASSES[:1])))) == "superseded"
        assert refusal(lambda: store.accept_result(old.proof, upload())) == "superseded"
        assert store.result(old.submission.key.test_id)["attempt"] == 2

    def test_no_result_for_what_has_ended_or_was_never_claimed(
        self, store: Store, upload: Callable[..., Upload]
    ) -> None:
        job = queued(store)
        assert refusal(lambda: store.accept_result(job.proof, upload())) == "unclaimed"
        store.cancel(job.submission.key.test_id, "me")
        assert refusal(lambda: store.accept_result(job.proof, upload())) == "ended"

    def test_a_result_under_way_wins_over_a_cancel(self, store: Store, upload: Callable[..., Upload]) -> None:
        job = claimed(store)
        store.cancel(job.submission.key.test_id, "me")
        store.accept_result(job.proof, upload())
        assert store.run(job.submission.key.test_id).state is RunState.FINISHED

    def test_a_damaged_stream_leaves_the_run_as_it_was(self, store: Store, upload: Callable[..., Upload]) -> None:
        job = claimed(store)
        with pytest.raises(ResultError):
            store.accept_result(job.proof, upload(stream(PASSES)[:-3]))
        assert store.run(job.submission.key.test_id).state is RunState.CLAIMED
        assert not store.accept_result(job.proof, upload()).repeated

    def test_a_large_stream_comes_back_whole(self, store: Store, upload: Callable[..., Upload]) -> None:
        import random

        noise = random.Random(7)
        data = stream([Event(f"t.{i}", "fail", noise.randbytes(40_000).hex()) for i in range(60)])
        job = claimed(store)
        store.accept_result(job.proof, upload(data))
        pieces = list(store.result_stream(job.submission.key.test_id))
        assert b"".join(pieces) == data and max(map(len, pieces)) <= 1024 * 1024

    def test_passwords_in_tracebacks_are_masked(self, store: Store, upload: Callable[..., Upload]) -> None:
        job = claimed(store)
        data = stream([Event("t", "fail", f"Unauthorized: {{'password': '{PASSWORD}'}}")])
        store.accept_result(job.proof, upload(data))
        (test,) = store.result_tests(job.submission.key.test_id, ResultQuery())
        assert test.reason == "Unauthorized: {'password': '***'}"

    def test_anonymous(self, store: Store, upload: Callable[..., Upload]) -> None:
        test_id = store.accept_anonymous(upload())
        assert len(store.result_tests(test_id, ResultQuery())) == 2
        with pytest.raises(NotFoundError):
            store.run(test_id)


class TestOperators:
    def test_nodes(self, store: Store) -> None:
        node = Node("node-1", ("47.0.0",), 2, 1, ("eu",), "ready", "1.0", time=100.0)
        store.node_seen(node)
        assert refusal(lambda: store.node_seen(node)) == "replayed"
        store.node_seen(Node("node-1", (), 2, 0, (), "draining", "1.0", time=101.0))
        (found,) = store.nodes()
        assert (found.state, found.versions, found.seen_at) == ("draining", (), store.clock())

    def test_tokens(self, store: Store, clock: Clock) -> None:
        token, secret = store.add_token("ci", ["operator", "operator"], expires_at=clock() + 100)
        assert token.scopes == ("operator",) and secret.startswith("rsq_")
        found = store.token(secret)
        assert found is not None and found.id == token.id
        assert store.tokens()[0].last_used_at == clock()
        assert store.token(secret + "x") is None and store.token("") is None
        clock.forward(101)
        assert store.token(secret) is None
        _other, secret = store.add_token("vendor", ["vendor"])
        store.revoke_token(2)
        assert store.token(secret) is None
        with pytest.raises(NotFoundError):
            store.revoke_token(9)

    def test_count_states(self, store: Store) -> None:
        queued(store), queued(store), claimed(store)
        assert store.count_states() == {"claimed": 1, "queued": 2}


def test_a_report_makes_no_run_held_that_nobody_claimed(store: Store) -> None:
    job = queued(store)
    store.report(job.proof, Report(RunState.RUNNING, "so it says"))
    run = store.run(job.submission.key.test_id)
    assert run.state is RunState.QUEUED
    assert [message.message for message in store.messages(run.test_id)][-1] == "running: so it says"
