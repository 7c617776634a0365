"""What workers write is masked before it is stored, also when the run is over and its passwords are wiped (L2)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.maskers import WITHHELD
from tests.support.ledgers import PASSWORD, Job, claimed, new_run

CLEANED = f"clean-up: could not log in as admin with {PASSWORD}"


def ended(ledger: Ledger) -> Job:
    """A run that ended; what this process knew of its secrets is forgotten, as in another process."""
    job = claimed(ledger)
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "time limit", "timeout"))
    ledger.attempts.maskers.forget()
    return job


def last_text(ledger: Ledger, job: Job) -> str:
    return ledger.runs.messages(job.submission.key.test_id)[-1].message


def test_a_message_of_the_clean_up_is_masked_after_the_end(ledger: Ledger) -> None:
    job = ended(ledger)
    ledger.attempts.report(job.proof, Report(message=CLEANED))
    assert last_text(ledger, job) == "clean-up: could not log in as admin with ***"


def test_so_is_that_of_a_run_that_the_server_carried_out_itself(ledger: Ledger) -> None:
    submission = ledger.runs.add_held(new_run(), Claim("claim", "local"))
    job = Job(submission, b"", "claim")
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "stopped", "cancelled"))
    ledger.attempts.maskers.forget()
    ledger.attempts.report(job.proof, Report(message=CLEANED))
    assert PASSWORD not in last_text(ledger, job)


def test_the_end_leaves_nothing_that_the_server_could_open(ledger: Ledger) -> None:
    job = ended(ledger)
    attempt, run = queue_tables.attempt, queue_tables.run
    with ledger.database.reading() as connection:
        row = connection.execute(select(attempt)).mappings().one()
        assert connection.execute(select(run.c.sealed_conf)).scalar() is None
        stranger = Proof(job.submission.key.test_id, "A" * 43, 1)
        assert ledger.attempts.maskers.of(connection, stranger) is None
    assert PASSWORD not in str(dict(row)) and job.submission.secret not in str(dict(row))


def test_what_cannot_be_masked_is_withheld(ledger: Ledger) -> None:
    """An attempt that a former version submitted has no secrets of its own."""
    job = ended(ledger)
    with ledger.database.writing() as connection:
        connection.execute(update(queue_tables.attempt).values(sealed_secrets=None))
    ledger.attempts.report(job.proof, Report(message=CLEANED))
    assert last_text(ledger, job) == WITHHELD


def test_while_it_runs_such_an_attempt_is_masked_with_the_runs_options(ledger: Ledger) -> None:
    job = claimed(ledger)
    ledger.attempts.maskers.forget()
    with ledger.database.writing() as connection:
        connection.execute(update(queue_tables.attempt).values(sealed_secrets=None))
    ledger.attempts.report(job.proof, Report(message=CLEANED))
    assert last_text(ledger, job) == "clean-up: could not log in as admin with ***"


@pytest.mark.parametrize("is_known", [True, False])
def test_the_test_in_the_progress_is_masked(ledger: Ledger, is_known: bool) -> None:
    job = claimed(ledger)
    if not is_known:
        ledger.attempts.maskers.forget()
    progress = Progress(total=5, done=2, test=f"tempest.Test.test_login[{PASSWORD}]")
    ledger.attempts.heartbeat(job.proof, job.claim_id, progress)
    shown = ledger.runs.get(job.submission.key.test_id).progress
    assert shown == replace(progress, test="tempest.Test.test_login[***]")


def test_the_word_for_machines_is_masked(ledger: Ledger) -> None:
    job = claimed(ledger)
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "broken", PASSWORD))
    assert ledger.runs.get(job.submission.key.test_id).reason == "***"


def test_maskers_are_bounded_in_number_and_size(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refstack_worker.server.ledger.maskers.MAX_KEPT", 2)
    jobs = [claimed(ledger) for _ in range(4)]
    for job in jobs:
        ledger.attempts.report(job.proof, Report(message=CLEANED))
    kept = [ledger.attempts.maskers.kept(job.submission.key) is not None for job in jobs]
    assert kept == [False, False, True, True]
    monkeypatch.setattr("refstack_worker.server.ledger.maskers.MAX_CHARACTERS", 1)
    ledger.attempts.report(jobs[0].proof, Report(message=CLEANED))
    assert ledger.attempts.maskers.kept(jobs[0].submission.key) is None
    assert PASSWORD not in last_text(ledger, jobs[0])
