"""Recording a run: what is kept, what is refused, and what the legacy table shows of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select

from refstack_worker.contract.states import RunState
from refstack_worker.contract.testcases import Testcases
from refstack_worker.errors import NotFoundError, PayloadError, StateError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.runs import RunQuery, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import CONF, PASSWORD, new_run, texts


class TestRecording:
    def test_a_run_is_queued_as_attempt_one_and_says_so_in_the_legacy_table(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run(label="first"))
        assert (run.state, run.attempt, run.label) == (RunState.QUEUED, 1, "first")
        assert run.spec.timeout == ledger.settings.rules.run_timeout
        assert texts(ledger, run.test_id) == ["queued"]

    def test_everything_asked_for_comes_back(self, ledger: Ledger) -> None:
        spec = RunSpec("46.3.0", "", {"a-plugin": "1.0"}, Testcases(("a.b",), ("c.*",)), 4, 600, "eu", 1)
        assert ledger.runs.get(ledger.runs.add(new_run(spec=spec)).test_id).spec == spec

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
    def test_what_no_worker_would_take_is_refused(self, ledger: Ledger, spec: RunSpec) -> None:
        with pytest.raises(PayloadError):
            ledger.runs.add(new_run(spec=spec))
        assert ledger.runs.find(RunQuery()) == []

    def test_options_that_no_vendor_may_set_are_refused(self, ledger: Ledger) -> None:
        with pytest.raises(PayloadError, match="lock_path"):
            ledger.runs.add(new_run(conf_json={"oslo_concurrency": {"lock_path": "/etc"}}))

    def test_a_legacy_test_is_run_once(self, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            connection.execute(insert(legacy_tables.test).values(id=41, finished=False))
        assert ledger.runs.add(new_run(test_id=41)).test_id == 41
        with pytest.raises(StateError):
            ledger.runs.add(new_run(test_id=41))
        with pytest.raises(NotFoundError):
            ledger.runs.add(new_run(test_id=42))

    def test_the_same_idempotency_key_gives_the_same_run(self, ledger: Ledger) -> None:
        first = ledger.runs.add(new_run(idempotency_key="k", created_by="a"))
        assert ledger.runs.add(new_run(idempotency_key="k", created_by="a")).test_id == first.test_id
        assert ledger.runs.add(new_run(idempotency_key="k", created_by="b")).test_id != first.test_id

    def test_the_same_idempotency_key_at_the_same_time_gives_one_run(self, ledger: Ledger) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(
                pool.map(lambda _: ledger.runs.add(new_run(idempotency_key="k", created_by="a")).test_id, range(16))
            )
        assert len(set(made)) == 1
        assert len(ledger.runs.find(RunQuery())) == 1

    def test_passwords_are_kept_sealed_and_wiped_at_the_end(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run())
        with ledger.database.reading() as connection:
            row = str(connection.execute(select(queue_tables.run)).mappings().one())
        assert PASSWORD not in row and ledger.runs.conf_json(run.test_id) == CONF
        ledger.runs.cancel(run.test_id, "me")
        assert ledger.runs.conf_json(run.test_id) == {}
        with ledger.database.reading() as connection:
            assert connection.execute(select(queue_tables.run.c.sealed_conf)).scalar() is None

    def test_lists_are_narrowed_and_paged(self, ledger: Ledger) -> None:
        for number in range(5):
            ledger.runs.add(new_run(label=f"Run 1{number}%", spec=RunSpec("47.0.0" if number % 2 else "46.3.0")))
        ledger.runs.cancel(3, "me")
        ids = [run.test_id for run in ledger.runs.find(RunQuery(limit=2))]
        assert ids == [5, 4]
        assert [run.test_id for run in ledger.runs.find(RunQuery(before=4, limit=2))] == [3, 2]
        assert [run.test_id for run in ledger.runs.find(RunQuery(states=(RunState.CANCELLED,)))] == [3]
        assert [run.test_id for run in ledger.runs.find(RunQuery(tempest_version="47.0.0"))] == [4, 2]
        newest = ledger.runs.get(4).created_at
        assert 4 in [run.test_id for run in ledger.runs.find(RunQuery(since=newest, until=newest + 1))]
        assert ledger.runs.find(RunQuery(since=newest + 1)) == ledger.runs.find(RunQuery(until=1.0)) == []
        assert [run.test_id for run in ledger.runs.find(RunQuery(text="run 13%"))] == [4]
        assert ledger.runs.find(RunQuery(text="1_%")) == []

    def test_unknown_runs(self, ledger: Ledger) -> None:
        for call in (lambda: ledger.runs.get(7), lambda: ledger.runs.cancel(7, "me"), lambda: ledger.results.get(7)):
            with pytest.raises(NotFoundError):
                call()
