"""How long tests took: on the same cloud first, then of the same vendor, then of others; for the attempt's holder."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert, update

from refstack_worker.errors import RefusedError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import IMPORTED
from refstack_worker.server.ledger.durations import MAX_SECONDS
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import tempest_tests
from tests.support.ledgers import Event, claimed, stream

KNOWN = "tempest.api.identity.v3.test_tokens.TokensV3Test.test_create_token"
ONE, TWO, BAD = "tempest.a.T.test_one[id-1]", "tempest.a.T.test_two", "tempest.a.T.test_bad"


def finished(ledger: Ledger, folder: Path, *events: Event, cloud: int | None = None, owner: int | None = None) -> int:
    job = claimed(ledger, cloud_id=cloud, owner_id=owner)
    file = folder / "result"
    file.write_bytes(stream(events))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    return job.submission.key.test_id


@pytest.fixture
def clouds(ledger: Ledger) -> None:
    with ledger.database.writing() as connection:
        for number in (1, 2):
            connection.execute(insert(legacy_tables.cloud).values(id=number, label=f"cloud {number}"))


@pytest.mark.usefixtures("clouds")
def test_the_same_cloud_counts_first_and_the_newest_run(ledger: Ledger, tmp_path: Path) -> None:
    finished(ledger, tmp_path, Event(ONE, seconds=9.0), cloud=1)
    finished(ledger, tmp_path, Event(ONE, seconds=4.0), Event(BAD, "fail", "x", seconds=60.0), cloud=1)
    finished(ledger, tmp_path, Event(ONE, seconds=1.0), Event(TWO, seconds=2.0), cloud=2)
    job = claimed(ledger, cloud_id=1)
    assert ledger.durations.of_attempt(job.proof, job.claim_id) == {
        "tempest.a.T.test_one": 4.0,
        "tempest.a.T.test_two": 2.0,
    }


class TestOfOtherVendors:
    @pytest.fixture
    def users(self, ledger: Ledger) -> list[int]:
        """Two of the first vendor, and one of each of three others."""
        vendors = [ledger.accounts.add_vendor(name).id for name in ("Acme", "Bravo", "Cora", "Dora")]
        return [
            ledger.accounts.add_user(f"u{number}", f"u{number}@x", vendor).id
            for number, vendor in enumerate((vendors[0], *vendors))
        ]

    def of(self, ledger: Ledger, owner: int) -> dict[str, float]:
        return ledger.durations.of_cloud(None, owner, tempest_tests.is_known)

    def test_no_name_of_theirs_is_given_but_tempests_own(
        self, ledger: Ledger, tmp_path: Path, users: list[int]
    ) -> None:
        secret = "bravos.secret.product.Name.test_unreleased"
        finished(ledger, tmp_path, Event(KNOWN, seconds=7.0), Event(secret), Event(TWO), owner=users[2])
        assert self.of(ledger, users[0]) == {KNOWN: 7.0}
        assert self.of(ledger, users[2]) == {KNOWN: 7.0, secret: 1.0, TWO: 1.0}
        assert ledger.durations.of_cloud(None, users[0]) == {}

    def test_ones_own_vendors_count_first(self, ledger: Ledger, tmp_path: Path, users: list[int]) -> None:
        finished(ledger, tmp_path, Event(KNOWN, seconds=3.0), Event(TWO, seconds=2.0), owner=users[1])
        finished(ledger, tmp_path, Event(KNOWN, seconds=9.0), owner=users[2])
        assert self.of(ledger, users[0]) == {KNOWN: 3.0, TWO: 2.0}

    def test_one_vendor_does_not_decide_alone(self, ledger: Ledger, tmp_path: Path, users: list[int]) -> None:
        for seconds, owner in ((5.0, users[2]), (6.0, users[3]), (90000.0, users[4]), (90000.0, users[4])):
            finished(ledger, tmp_path, Event(KNOWN, seconds=seconds), owner=owner)
        assert self.of(ledger, users[0]) == {KNOWN: 6.0}

    def test_times_are_bounded(self, ledger: Ledger, tmp_path: Path, users: list[int]) -> None:
        finished(ledger, tmp_path, Event(KNOWN, seconds=90000.0), owner=users[2])
        assert self.of(ledger, users[0]) == {KNOWN: MAX_SECONDS}

    def test_nothing_that_was_imported(self, ledger: Ledger, tmp_path: Path, users: list[int]) -> None:
        test_id = finished(ledger, tmp_path, Event(KNOWN), owner=users[2])
        with ledger.database.writing() as connection:
            run = queue_tables.run
            connection.execute(update(run).where(run.c.test_id == test_id).values(kind=IMPORTED))
        assert self.of(ledger, users[0]) == {}


def test_a_first_run_knows_nothing(ledger: Ledger) -> None:
    job = claimed(ledger)
    assert ledger.durations.of_attempt(job.proof, job.claim_id) == {}


def test_only_the_holder_is_answered(ledger: Ledger) -> None:
    job = claimed(ledger)
    for other in (job.by("claim-of-another"),):
        with pytest.raises(RefusedError) as refusal:
            ledger.durations.of_attempt(other.proof, other.claim_id)
        assert refusal.value.reason == "claimed"
    with pytest.raises(RefusedError, match="another worker"):
        ledger.durations.of_attempt(job.proof, "claim-of-another")
