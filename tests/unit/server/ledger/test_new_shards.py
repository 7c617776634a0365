"""The parts that are recorded for a run: at once, or when the others have ended; what they count."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert

from refstack_worker.contract.states import RunState
from refstack_worker.errors import RefusedError
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import CONF, new_run, texts
from tests.support.split_runs import ALPHA, BETA, GAMMA, PLANS, SPEC, held, look, post, split


class TestLast:
    """Parts that must not run beside the others."""

    def test_they_start_when_the_others_have_ended(self, ledger: Ledger, tmp_path: Path) -> None:
        run = split(ledger, [*PLANS, ShardPlan((GAMMA,), 1, is_last=True)])
        jobs = [held(ledger, run, number, f"node-{number}") for number in (1, 2)]
        for job, name in zip(jobs, (ALPHA, BETA)):
            assert ledger.shards.of_run(run)[2].test_id is None
            post(ledger, job, tmp_path, f"{name}.test_1")
            look(ledger)
        look(ledger)
        job = held(ledger, run, 3, "node-2")
        assert job.submission.conf_json == CONF
        assert job.submission.spec.testcases is not None and job.submission.spec.testcases.names == (GAMMA,)
        post(ledger, job, tmp_path, f"{GAMMA}.test_1")
        look(ledger)
        assert ledger.runs.get(run).counts.passed == 3

    def test_cancelled_before_they_start(self, ledger: Ledger) -> None:
        run = split(ledger, [*PLANS, ShardPlan((GAMMA,), 1, is_last=True)])
        assert ledger.runs.cancel(run, "me").state is RunState.CANCELLED
        assert ledger.shards.going_on() == []


class TestLimits:
    def test_each_part_counts_as_an_open_run(self, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            connection.execute(insert(legacy_tables.user).values(id=1, name="user"))
        object.__setattr__(ledger.settings.rules, "max_open_runs", 3)
        split(ledger, owner_id=1)
        with pytest.raises(RefusedError, match="open runs: 2 of 3, and this one counts 2"):
            split(ledger, owner_id=1)
        ledger.runs.add(new_run(owner_id=1))
        with pytest.raises(RefusedError, match="open runs: 3 of 3"):
            ledger.runs.add(new_run(owner_id=1))

    def test_the_same_key_gives_the_same_run_and_no_further_parts(self, ledger: Ledger) -> None:
        first = split(ledger, idempotency_key="k", request_digest="d")
        assert split(ledger, idempotency_key="k", request_digest="d") == first
        assert len(ledger.submissions.next()) == 2

    def test_a_run_that_cannot_be_split_says_so(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run(spec=SPEC, note="not split: why"))
        assert (run.kind, run.spec.shards) == ("run", 2)
        assert texts(ledger, run.test_id) == ["queued", "not split: why"]
        assert [one.key.test_id for one in ledger.submissions.next()] == [run.test_id]
