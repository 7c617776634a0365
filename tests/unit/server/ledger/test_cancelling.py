"""A cancel of a run that is split reaches every part of it."""

from __future__ import annotations

from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, beat
from tests.support.split_runs import held, look, split


class TestCancel:
    def test_what_waits_ends_at_once(self, ledger: Ledger) -> None:
        run = split(ledger)
        assert ledger.runs.cancel(run, "me").state is RunState.CANCELLED
        assert [one.state for one in ledger.shards.of_run(run)] == [RunState.CANCELLED] * 2
        assert ledger.submissions.next() == []

    def test_every_node_hears_of_it(self, ledger: Ledger) -> None:
        run = split(ledger)
        jobs = [held(ledger, run, number, f"node-{number}") for number in (1, 2)]
        assert ledger.runs.cancel(run, "me").state is RunState.CANCELLING
        for job in jobs:
            assert beat(ledger, job, job.claim_id) is HeartbeatReply.CANCEL
            look(ledger)
            assert ledger.runs.get(run).state is RunState.CANCELLING
            ledger.attempts.report(job.proof, Report(RunState.CANCELLED, "stopped"))
        look(ledger)
        assert ledger.runs.get(run).state is RunState.CANCELLED
        assert ledger.shards.going_on() == []

    def test_one_node_has_its_part_and_the_other_part_waits(self, ledger: Ledger) -> None:
        run = split(ledger)
        job = held(ledger, run, 1, "node-1")
        # the monitor has not looked yet: the run itself still counts as queued
        assert ledger.runs.get(run).state is RunState.QUEUED
        assert ledger.runs.cancel(run, "me").state is RunState.CANCELLING
        ledger.attempts.report(job.proof, Report(RunState.CANCELLED))
        look(ledger)
        assert ledger.runs.get(run).state is RunState.CANCELLED

    def test_silent_nodes_do_not_hold_it_up(self, ledger: Ledger, clock: Clock) -> None:
        run = split(ledger)
        for number in (1, 2):
            held(ledger, run, number, f"node-{number}")
        ledger.runs.cancel(run, "me")
        clock.forward(ledger.settings.rules.cancel_limit + 1)
        for one in ledger.deadlines.overdue():
            ledger.deadlines.expire(one)
        look(ledger)
        assert ledger.runs.get(run).state is RunState.CANCELLED
        assert {one.state for one in ledger.shards.of_run(run)} == {RunState.CANCELLED}
