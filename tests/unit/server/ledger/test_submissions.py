"""What is submitted next, and by whom: no submitter stops another, and no run or vendor stops the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import LedgerError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.attempts import (
    AttemptKey,
    QueuedJob,
    Release,
)
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.maskers import WITHHELD
from refstack_worker.server.ledger.submissions import LEASE_SECONDS
from refstack_worker.server.results import acceptance
from refstack_worker.server.secret_store import SecretStore
from tests.support.ledgers import (
    CONF,
    PASSWORD,
    Clock,
    Event,
    claimed,
    make_settings,
    new_run,
    queued,
    stream,
    submit,
)

DIGEST = "d" * 64


def add_user(ledger: Ledger, user_id: int, vendor_id: int | None) -> None:
    with ledger.database.writing() as connection:
        if vendor_id is not None and ledger.accounts.vendors() == []:
            connection.execute(insert(legacy_tables.vendor).values(id=vendor_id, vendor_name=f"vendor {vendor_id}"))
        connection.execute(insert(legacy_tables.user).values(id=user_id, name=f"user {user_id}", vendor_id=vendor_id))


class TestSlowSubmitters:
    def test_the_first_to_seal_submits_also_when_its_lease_ran_out(self, ledger: Ledger, clock: Clock) -> None:
        ledger.runs.add(new_run())
        (late,) = ledger.submissions.next()
        clock.forward(LEASE_SECONDS + 1)
        (one,) = ledger.submissions.next()
        assert one.key == late.key
        assert ledger.submissions.sealed([(late, "a" * 64)]) == {late.key}
        assert ledger.submissions.sealed([(one, "b" * 64)]) == set()

    def test_two_that_seal_for_longer_than_the_lease_get_on(self, ledger: Ledger, clock: Clock) -> None:
        """Each takes what the other has leased, as soon as that lease has run out."""
        for _ in range(3):
            ledger.runs.add(new_run())
        taken = {"a": ledger.submissions.next(50), "b": []}
        submitted = []
        for turn in range(8):
            clock.forward(LEASE_SECONDS + 2)
            mine, other = ("a", "b") if turn % 2 == 0 else ("b", "a")
            taken[other] = ledger.submissions.next(50)
            submitted += ledger.submissions.sealed([(one, DIGEST) for one in taken[mine]])
        assert sorted(key.test_id for key in submitted) == [1, 2, 3]

    def test_one_that_gives_up_does_not_undo_what_another_sealed(self, ledger: Ledger, clock: Clock) -> None:
        ledger.runs.add(new_run())
        (late,) = ledger.submissions.next()
        clock.forward(LEASE_SECONDS + 1)
        (one,) = ledger.submissions.next()
        ledger.submissions.sealed([(one, DIGEST)])
        ledger.submissions.failed([late], "its keys cannot be read")
        assert ledger.submissions.next() == []


class TestUnreadableRuns:
    def test_a_run_that_cannot_be_decrypted_fails_alone(self, ledger: Ledger, tmp_path: Path) -> None:
        lost, *others = [ledger.runs.add(new_run()).test_id for _ in range(4)]
        foreign = SecretStore(make_settings(tmp_path / "elsewhere").keys.store).seal(CONF)
        with ledger.database.writing() as connection:
            is_lost = queue_tables.run.c.test_id == lost
            connection.execute(update(queue_tables.run).where(is_lost).values(sealed_conf=foreign))
        assert [one.key.test_id for one in ledger.submissions.next()] == others
        run = ledger.runs.get(lost)
        assert (run.state, run.reason) == (RunState.FAILED, "seal")
        assert "cannot be decrypted" in run.message


class TestShares:
    def test_each_vendor_gets_its_share_of_a_batch(self, ledger: Ledger) -> None:
        add_user(ledger, 1, vendor_id=1)
        add_user(ledger, 2, vendor_id=1)
        add_user(ledger, 3, vendor_id=None)
        greedy = [ledger.runs.add(new_run(owner_id=1 + number % 2)).test_id for number in range(6)]
        operators = ledger.runs.add(new_run()).test_id
        alone = ledger.runs.add(new_run(owner_id=3)).test_id
        batch = [one.key.test_id for one in ledger.submissions.next(4)]
        assert batch == [greedy[0], operators, alone, greedy[1]]
        assert [one.key.test_id for one in ledger.submissions.next(50)] == greedy[2:]

    def test_the_urgent_come_first(self, ledger: Ledger) -> None:
        add_user(ledger, 1, vendor_id=None)
        usual = [ledger.runs.add(new_run(owner_id=1)).test_id for _ in range(2)]
        urgent = ledger.runs.add(new_run(spec=RunSpec("47.0.0", priority=1))).test_id
        assert [one.key.test_id for one in ledger.submissions.next()] == [urgent, *usual]


class TestHeldRunsThatBecomeUnreadable:
    def lose_key(self, ledger: Ledger, tmp_path: Path) -> None:
        foreign = SecretStore(make_settings(tmp_path / "elsewhere").keys.store).seal(CONF)
        with ledger.database.writing() as connection:
            connection.execute(update(queue_tables.run).values(sealed_conf=foreign))
            connection.execute(update(queue_tables.attempt).values(sealed_secrets=None))
        ledger.attempts.maskers.forget()

    def test_its_reports_count_without_their_words(self, ledger: Ledger, tmp_path: Path) -> None:
        job = claimed(ledger)
        self.lose_key(ledger, tmp_path)
        ledger.attempts.report(job.proof, Report(RunState.FAILED, f"it was {PASSWORD}", "timeout"))
        run = ledger.runs.get(job.submission.key.test_id)
        assert (run.state, run.reason, run.message) == (RunState.FAILED, "timeout", WITHHELD)

    def test_its_result_is_to_be_posted_again(self, ledger: Ledger, tmp_path: Path) -> None:
        job = claimed(ledger)
        self.lose_key(ledger, tmp_path)
        file = tmp_path / "result"
        file.write_bytes(stream([Event("a")]))
        with pytest.raises(LedgerError, match="cannot be decrypted"):
            acceptance.accept(ledger, job.proof, Upload.of(file, {}))
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED


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


def test_runs_are_counted_by_state(ledger: Ledger) -> None:
    queued(ledger), queued(ledger), claimed(ledger)
    assert ledger.queue.count_states() == {"claimed": 1, "queued": 2}
