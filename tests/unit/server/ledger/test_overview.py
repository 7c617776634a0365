"""How tests went in the last runs of a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.results import ResultQuery, Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.overview import FLAKY, NEW, is_flaky
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Event, claimed, stream


@pytest.mark.parametrize(
    ("statuses", "flaky"),
    [
        ("passed failed", False),
        ("failed passed passed", False),
        ("passed failed passed", True),
        ("failed skipped passed  failed", True),
        ("", False),
    ],
)
def test_only_what_goes_back_and_forth_is_flaky(statuses: str, flaky: bool) -> None:
    assert is_flaky(statuses.split(" ")) is flaky


def test_failures_are_marked_by_how_they_went_before(ledger: Ledger, tmp_path: Path) -> None:
    cloud = ledger.clouds.add(NewCloud("c", "https://k.example/v3")).cloud.id
    for failing in ({"back_and_forth", "always"}, {"always"}, {"back_and_forth", "always", "since_now"}):
        job = claimed(ledger, cloud_id=cloud)
        file = tmp_path / f"result-{job.submission.key.test_id}"
        events = [
            Event(f"t.T.{name}", "fail" if name in failing else "success")
            for name in ("back_and_forth", "always", "since_now")
        ]
        file.write_bytes(stream(events))
        acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    last = job.submission.key.test_id
    failed = ledger.results.tests(last, ResultQuery("failed"))
    assert ledger.overview.marks(last, cloud, failed) == {"t.T.back_and_forth": FLAKY, "t.T.since_now": NEW}
