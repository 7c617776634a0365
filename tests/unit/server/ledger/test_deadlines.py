"""What takes too long: clocks that were set, and a queue that was paused, end no run."""

from __future__ import annotations

from sqlalchemy import select

from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import (
    Claim,
    OverdueReason,
)
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import (
    CLAIM,
    Clock,
    beat,
    claimed,
    new_run,
    queued,
    refusal,
    submit,
)

MONTH = 30 * 86400.0


class TestClockThatWasAhead:
    def test_what_was_submitted_then_is_looked_at(self, ledger: Ledger, clock: Clock) -> None:
        clock.forward(MONTH)
        job = queued(ledger)
        clock.forward(-MONTH)
        assert ledger.deadlines.pull_back() == 2, "the run and its attempt"
        clock.forward(11)
        assert [one.key for one in ledger.submissions.waiting()] == [job.submission.key]

    def test_what_was_leased_then_is_submitted(self, ledger: Ledger, clock: Clock) -> None:
        clock.forward(MONTH)
        ledger.runs.add(new_run())
        (lost,) = ledger.submissions.next()
        clock.forward(-MONTH)
        ledger.deadlines.pull_back()
        clock.forward(1)
        assert [one.key for one in ledger.submissions.next()] == [lost.key]

    def test_what_was_sealed_then_gets_the_next_attempt(self, ledger: Ledger, clock: Clock) -> None:
        clock.forward(MONTH)
        ledger.runs.add(new_run())
        (lost,) = ledger.submissions.next()
        ledger.submissions.sealed([(lost, "d" * 64)])
        clock.forward(-MONTH)
        ledger.deadlines.pull_back()
        clock.forward(1)
        assert ledger.submissions.expire_leases() == [lost.key]

    def test_what_was_queued_then_waits_from_now_on(self, ledger: Ledger, clock: Clock) -> None:
        clock.forward(MONTH)
        ledger.runs.add(new_run())
        clock.forward(-MONTH)
        ledger.deadlines.pull_back()
        clock.forward(ledger.settings.rules.queue_timeout - 1)
        assert ledger.deadlines.overdue() == []
        clock.forward(2)
        assert [one.reason for one in ledger.deadlines.overdue()] == [OverdueReason.QUEUE]

    def test_times_of_now_stay(self, ledger: Ledger, clock: Clock) -> None:
        claimed(ledger)
        ledger.runs.add(new_run())
        ledger.submissions.next()
        assert ledger.deadlines.pull_back() == 0


class TestPause:
    def test_nobody_waits_too_long_while_the_queue_is_paused(self, ledger: Ledger, clock: Clock) -> None:
        limit = ledger.settings.rules.queue_timeout
        run = ledger.runs.add(new_run())
        clock.forward(limit / 2)
        ledger.queue.pause("operator")
        clock.forward(2 * limit)
        assert ledger.deadlines.overdue() == []
        ledger.queue.resume("operator")
        clock.forward(limit / 2 - 1)
        assert ledger.deadlines.overdue() == [], "the pause does not count"
        clock.forward(2)
        (overdue,) = ledger.deadlines.overdue()
        assert ledger.deadlines.expire(overdue)
        assert ledger.runs.get(run.test_id).state is RunState.FAILED

    def test_a_run_of_the_pause_has_waited_since_its_end(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.pause("operator")
        clock.forward(1000)
        ledger.runs.add(new_run())
        clock.forward(500)
        ledger.queue.resume("operator")
        with ledger.database.reading() as connection:
            assert connection.execute(select(queue_tables.run.c.queued_at)).scalar() == clock()

    def test_a_second_pause_does_not_shorten_the_first(self, ledger: Ledger, clock: Clock) -> None:
        ledger.runs.add(new_run())
        ledger.queue.pause("operator")
        clock.forward(1000)
        ledger.queue.pause("another operator")
        clock.forward(1000)
        ledger.queue.resume("operator")
        with ledger.database.reading() as connection:
            assert connection.execute(select(queue_tables.run.c.queued_at)).scalar() == clock()


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
            ledger.attempts.release(job.proof, CLAIM, "node-1 restarts, sent again")
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
