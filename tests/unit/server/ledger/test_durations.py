"""How long tests took: on the same cloud first, else on any; only for whoever holds the attempt."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert

from refstack_worker.errors import RefusedError
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Event, claimed, stream

ONE, TWO, BAD = "tempest.a.T.test_one[id-1]", "tempest.a.T.test_two", "tempest.a.T.test_bad"


def finished(ledger: Ledger, folder: Path, *events: Event, cloud: int | None = None) -> None:
    job = claimed(ledger, cloud_id=cloud)
    file = folder / "result"
    file.write_bytes(stream(events))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))


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
