from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.db.notify_tables import event
from refstack_worker.server.domain.attempts import AttemptKey, Claim, Release
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.notifications import EventKind
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import Move
from tests.support.ledgers import Clock, claimed, new_run, submit
from tests.support.notifications import failed, finished, subscribe


def events(ledger: Ledger) -> list[tuple[str, int | None]]:
    with ledger.database.reading() as connection:
        return [(row.kind, row.test_id) for row in connection.execute(select(event).order_by(event.c.id))]


def test_each_end_of_a_run_is_recorded_once(ledger: Ledger, tmp_path: Path) -> None:
    expected = [finished(ledger, tmp_path), failed(ledger)]
    expected.append(ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me").test_id)
    assert events(ledger) == [("run.ended", test_id) for test_id in expected]


def test_a_requeue_is_no_end_and_the_last_loss_is_one(ledger: Ledger) -> None:
    object.__setattr__(ledger.settings.rules, "attempt_limit", 2)
    job = claimed(ledger)
    test_id = job.submission.key.test_id
    ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
    assert events(ledger) == []
    again = submit(ledger, test_id)
    ledger.attempts.claim(again.proof, Claim(again.claim_id, "node-2", "47.0.0"))
    ledger.attempts.requeue(again.submission.key, Release.LOST, "silent")
    assert ledger.runs.get(test_id).state is RunState.FAILED and events(ledger) == [("run.ended", test_id)]


def test_an_end_that_is_undone_is_not_recorded(ledger: Ledger) -> None:
    run = ledger.runs.add(new_run())
    with pytest.raises(RuntimeError), ledger.database.writing() as connection:
        locked = ledger.runs.transactions.locked_run(connection, run.test_id)
        ledger.runs.transactions.move(connection, locked, Move(RunState.CANCELLED))
        raise RuntimeError("the machine stops")
    assert events(ledger) == []


def test_the_first_failure_is_recorded_once_while_it_is_wanted(ledger: Ledger) -> None:
    job, fine = claimed(ledger), claimed(ledger)
    for one, bad in ((job, 1), (fine, 0)):
        ledger.attempts.report(one.proof, Report(RunState.RUNNING))
        ledger.attempts.heartbeat(one.proof, one.claim_id, Progress(total=9, done=3, passed=3 - bad, failed=bad))
    assert ledger.events.find_failing() == 0  # there is no request
    subscribe(ledger, EventKind.RUN_FAILING)
    assert ledger.events.find_failing() == 1
    assert ledger.events.find_failing() == 0
    assert events(ledger) == [("run.failing", job.submission.key.test_id)]


def test_waiting_and_a_lost_node_are_recorded_once(ledger: Ledger, clock: Clock) -> None:
    key = AttemptKey(ledger.runs.add(new_run()).test_id, 1)
    assert ledger.events.waits_in_vain(key, "no node") and not ledger.events.waits_in_vain(key, "no node")
    node = Node("n", seen_at=clock())
    clock.forward(150)
    assert ledger.events.node_lost(node) and not ledger.events.node_lost(node)
    assert ledger.events.node_lost(Node("n", seen_at=clock()))  # it came back and went again
    assert [kind for kind, _ in events(ledger)] == ["run.waiting", "node.lost", "node.lost"]
