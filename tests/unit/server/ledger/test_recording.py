"""What is answered to a request for a run: on PostgreSQL it is put together without reading the run again."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from refstack_worker.contract.testcases import Testcases
from refstack_worker.errors import RefusedError
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import new_run

SPEC = RunSpec("46.3.0", "", {"a-plugin": "1.0"}, Testcases(("a.b",), ("c.*",)), 4, 600, "eu", 1)


@pytest.fixture
def cloud_id(ledger: Ledger) -> int:
    row = {"id": 7, "label": "the cloud", "endpoint": "https://cloud.example/v3", "version": "2025.1"}
    with ledger.database.writing() as connection:
        connection.execute(insert(legacy_tables.cloud).values(row))
        connection.execute(insert(legacy_tables.user).values(id=3, name="who asks"))
    return 7


def test_what_is_answered_is_what_is_kept(ledger: Ledger, cloud_id: int) -> None:
    for given in (
        {},
        {"label": "nightly", "created_by": "me", "owner_id": 3, "idempotency_key": "k", "request_digest": "d"},
        {"spec": SPEC, "cloud_id": cloud_id, "rerun_of": 1},
    ):
        recorded = ledger.runs.record(new_run(**given))
        assert recorded.is_new
        assert recorded.run == ledger.runs.get(recorded.run.test_id)


def test_a_run_of_an_existing_test_has_that_tests_cloud(ledger: Ledger, cloud_id: int) -> None:
    with ledger.database.writing() as connection:
        connection.execute(insert(legacy_tables.test).values(id=90, cloud_id=cloud_id, finished=False))
    run = ledger.runs.record(new_run(test_id=90)).run
    assert (run.test_id, run.cloud.label) == (90, "the cloud")
    assert run == ledger.runs.get(90)


def test_the_same_key_again_is_not_new(ledger: Ledger) -> None:
    asked = new_run(created_by="me", idempotency_key="k", request_digest="d")
    first = ledger.runs.record(asked)
    again = ledger.runs.record(asked)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.run == first.run
    with pytest.raises(RefusedError, match="already used for a different request"):
        ledger.runs.record(new_run(created_by="me", idempotency_key="k", request_digest="e"))


def test_requests_without_a_key_are_each_new(ledger: Ledger) -> None:
    runs = [ledger.runs.record(new_run(created_by="me")).run.test_id for _ in range(3)]
    assert len(set(runs)) == 3
