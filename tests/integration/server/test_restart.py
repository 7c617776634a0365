"""PostgreSQL goes away and comes back under a ledger that is in use."""

from __future__ import annotations

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import LedgerError
from refstack_worker.server.db import database
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import claimed
from tests.support.postgresql import Cluster


def test_a_restart_is_an_error_that_says_so_and_then_all_goes_on(ledger: Ledger, postgresql: Cluster) -> None:
    job = claimed(ledger)
    postgresql.stop()
    try:
        with pytest.raises(LedgerError, match="DATABASE_URL"):
            ledger.attempts.report(job.proof, Report(RunState.RUNNING))
    finally:
        postgresql.start()
    ledger.attempts.report(job.proof, Report(RunState.RUNNING))
    assert ledger.runs.get(job.submission.key.test_id).state is RunState.RUNNING


def test_a_restart_while_nobody_asked_is_not_noticed(
    ledger: Ledger, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(ledger)
    postgresql.stop()
    postgresql.start()
    # as if the connection had been idle for longer than that
    monkeypatch.setattr(database, "IDLE_SECONDS", 0.0)
    assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED
