"""Recording runs: how many a vendor may have open, and ids that are never given twice."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import RefusedError
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import new_run

LIMIT = 3


@pytest.fixture
def settings(settings: ServerSettings) -> ServerSettings:
    object.__setattr__(settings.rules, "max_open_runs", LIMIT)
    return settings


@pytest.fixture
def users(ledger: Ledger) -> None:
    """Two users of one vendor, and one of no vendor."""
    with ledger.database.writing() as connection:
        connection.execute(insert(legacy_tables.vendor).values(id=1, vendor_name="acme"))
        for user_id, vendor_id in ((1, 1), (2, 1), (3, None)):
            row = {"id": user_id, "name": f"user {user_id}", "vendor_id": vendor_id}
            connection.execute(insert(legacy_tables.user).values(row))


@pytest.mark.usefixtures("users")
class TestOpenRuns:
    def test_users_of_a_vendor_share_its_limit(self, ledger: Ledger) -> None:
        runs = [ledger.runs.add(new_run(owner_id=1 + number % 2)) for number in range(LIMIT)]
        with pytest.raises(RefusedError, match="open runs: 3 of 3") as refusal:
            ledger.runs.add(new_run(owner_id=1))
        assert refusal.value.reason == "open-runs"
        ledger.runs.cancel(runs[0].test_id, "me")
        ledger.runs.add(new_run(owner_id=1))

    def test_others_are_not_concerned(self, ledger: Ledger) -> None:
        for _ in range(LIMIT):
            ledger.runs.add(new_run(owner_id=1))
        ledger.runs.add(new_run(owner_id=3))
        for _ in range(LIMIT + 1):
            ledger.runs.add(new_run())

    def test_the_answer_to_a_key_stays_the_same(self, ledger: Ledger) -> None:
        first = ledger.runs.add(new_run(owner_id=1, idempotency_key="k"))
        for _ in range(LIMIT - 1):
            ledger.runs.add(new_run(owner_id=1))
        assert ledger.runs.add(new_run(owner_id=1, idempotency_key="k")).test_id == first.test_id


class TestIds:
    def test_the_id_of_a_deleted_run_is_never_given_again(self, ledger: Ledger) -> None:
        ids = []
        for _ in range(3):
            test_id = ledger.runs.add(new_run()).test_id
            ledger.runs.cancel(test_id, "me")
            ledger.retention.delete(test_id)
            ids.append(test_id)
        older, newer = (ledger.runs.add(new_run()).test_id for _ in range(2))
        ledger.runs.cancel(older, "me")
        ledger.retention.delete(older)
        assert ids + [older, newer] == sorted({*ids, older, newer})
        assert ledger.runs.add(new_run()).test_id > newer
