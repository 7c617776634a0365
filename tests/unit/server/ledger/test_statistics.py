from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.server.domain.attempts import Claim, Release
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Clock, Event, Job, claimed, new_run, stream, submit


def finish(ledger: Ledger, job: Job, folder: Path, *outcomes: str) -> None:
    file = folder / "result"
    file.write_bytes(stream([Event(f"t{number}", outcome) for number, outcome in enumerate(outcomes)]))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))


def a_full_ledger(ledger: Ledger, clock: Clock, folder: Path) -> None:
    """Three runs: one passed, one with failed tests after a lost attempt, one cancelled before it began."""
    passed = claimed(ledger)
    clock.forward(100)
    finish(ledger, passed, folder, "success", "success", "skip")
    failing = claimed(ledger)
    ledger.attempts.requeue(failing.submission.key, Release.LOST, "silent")
    clock.forward(20)
    again = claimed_again(ledger, failing.submission.key.test_id)
    clock.forward(700)
    finish(ledger, again, folder, "fail", "success")
    ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me")


def claimed_again(ledger: Ledger, test_id: int) -> Job:
    job = submit(ledger, test_id)
    ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-2", "47.0.0"))
    return job


def test_an_empty_ledger_counts_nothing(ledger: Ledger) -> None:
    totals = ledger.statistics.totals()
    assert (totals.runs, totals.attempts, totals.tests) == ({}, {}, {})
    assert totals.waits.count == 0 and set(totals.waits.buckets) == {0}


def test_ends_tests_and_times_are_counted(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    a_full_ledger(ledger, clock, tmp_path)
    totals = ledger.statistics.totals()
    assert totals.runs == {"passed": 1, "tests-failed": 1, "cancelled": 1}
    assert totals.attempts == {"finished": 2, "lost": 1, "cancelled": 1}
    assert totals.tests == {"passed": 3, "failed": 1, "skipped": 1}
    assert (totals.run_times["passed"].count, totals.run_times["passed"].sum) == (1, 100)
    assert totals.run_times["passed"].buckets[:3] == (0, 1, 1)
    assert totals.run_times["tests-failed"].sum == 700
    assert (totals.waits.count, totals.waits.sum) == (3, 20) and totals.waits.buckets[:3] == (2, 2, 3)


@pytest.mark.parametrize("way", ["prune", "delete"])
def test_no_counter_falls_when_runs_are_removed(ledger: Ledger, clock: Clock, tmp_path: Path, way: str) -> None:
    a_full_ledger(ledger, clock, tmp_path)
    before = ledger.statistics.totals()
    clock.forward(1)
    if way == "prune":
        assert ledger.retention.prune(clock()) == 3
    else:
        for test_id in (1, 2, 3):
            ledger.retention.delete(test_id)
    assert ledger.queue.count_states() == {}
    assert ledger.statistics.totals() == before
    a_full_ledger(ledger, clock, tmp_path)
    assert ledger.statistics.totals().runs["passed"] == 2
    assert ledger.statistics.totals().run_times["tests-failed"].sum == 1400


def test_how_long_a_run_was_not_given_to_the_queue(ledger: Ledger, clock: Clock) -> None:
    assert ledger.statistics.unsubmitted_seconds() == 0
    ledger.runs.add(new_run())
    clock.forward(30)
    assert ledger.statistics.unsubmitted_seconds() == 30
