"""What takes too long: clocks that were set, and a queue that was paused, end no run."""

from __future__ import annotations

from sqlalchemy import select

from refstack_worker.contract.states import RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import OverdueReason
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, claimed, new_run, queued

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
