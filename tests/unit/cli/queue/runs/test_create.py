"""``refstack-queue run create``: by names, checked only, watched, and once for one key."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from refstack_worker.server.domain.clouds import NewCloud
from tests.support.ledgers import submit
from tests.system.web.site import Site, begin, finish, run_of
from tests.unit.cli.queue.conftest import CallAs

VERSION = ("--tempest-version", "47.0.0")


@pytest.fixture
def cloud(site: Site) -> int:
    conf = {"identity": {"password": "kept-pw-1"}}
    user = site.users["ann"]
    new = NewCloud("Prod", "https://prod.example/v3", user_id=user, test_user="one", conf_json=conf)
    return site.ledger.clouds.add(new).cloud.id


def test_the_cloud_is_named(site: Site, call_as: CallAs, cloud: int) -> None:
    made = call_as("ann", "run", "create", *VERSION, "--cloud", "prod", "-f", "json").json
    assert made["cloud"]["id"] == cloud and made["url"].endswith(f"/runs/{made['test_id']}")


def test_one_key_starts_one_run(site: Site, call_as: CallAs, cloud: int) -> None:
    words = ("run", "create", *VERSION, "--cloud", "Prod", "--idempotency-key", "nightly-1", "-f", "json")
    assert call_as("ann", *words).json["test_id"] == call_as("ann", *words).json["test_id"]
    assert call_as("ann", *words, "--label", "other").status == 2


def test_a_check_starts_nothing(site: Site, call_as: CallAs, cloud: int) -> None:
    checked = call_as("ann", "run", "create", *VERSION, "--cloud", "Prod", "--check", "-f", "json").json
    assert any("No available node runs Tempest 47.0.0" in warning for warning in checked["warnings"])
    assert call_as("ann", "run", "list", "-f", "json").json == []


def test_watching_prints_the_page_and_tells_the_verdict(site: Site, call_as: CallAs, cloud: int) -> None:
    def work() -> None:
        while not (queued := site.ledger.submissions.next()):
            pass
        (submission,) = queued
        ended.append(submission.key.test_id)
        site.ledger.runs.cancel(submission.key.test_id, "op")

    ended: list[int] = []
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    watched = call_as("ann", "run", "create", *VERSION, "--cloud", "Prod", "--watch")
    worker.join(30)
    assert watched.status == 9
    assert watched.out.startswith(f"run {ended[0]}: {site.ledger.settings.web.address}/runs/{ended[0]}\n")


def test_what_a_run_did_is_read_from_anywhere(site: Site, call_as: CallAs, cloud: int, tmp_path: Path) -> None:
    job = begin(site, run_of(site, "ann", cloud, "nightly"))
    number = str(job.submission.key.test_id)
    finish(site, job, ["objectstore-temp-url-get"])
    other = begin(site, run_of(site, "ann", cloud, "again"))
    finish(site, other)
    table, told = call_as("ann", "run", "list").out, call_as("ann", "run", "list", "-f", "json").json
    assert "Tests failed" in table and "4 of 24 failed" in table and "just now" in table
    assert "Cloud" in table and "Worker" not in table and "Worker" in call_as("ann", "run", "list", "--long").out
    assert (told[-1]["Cloud"], told[-1]["Owner"], told[-1]["Worker"]) == ("Prod", "ann, Acme Cloud", "node-a")
    assert told[-1]["Seconds"] >= 0 and "." not in told[-1]["Created"]
    failed = call_as("ann", "run", "tests", number, "--status", "failed", "-f", "json").json
    assert len(failed) == 4 and failed[0]["Reason"].startswith("Details: 401")
    slowest = call_as("ann", "run", "tests", number, "--by-time", "-f", "json").json
    assert slowest[-1]["Seconds"] == 0
    changes = call_as("ann", "run", "compare", number, str(other.submission.key.test_id), "-f", "json").json
    assert {row["Change"] for row in changes} == {"fixed"} and len(changes) == 4
    assert call_as("ann", "run", "export", number, "json", str(tmp_path / "result.json")).status == 0
    assert call_as("ann", "run", "export", number, "json", "-").out == (tmp_path / "result.json").read_text()
    assert call_as("bob", "run", "delete", number).status == 6
    assert call_as("ann", "run", "delete", number, str(other.submission.key.test_id)).status == 0
    assert call_as("ann", "run", "list", "-f", "json").json == []


def test_the_place_in_the_queue_is_shown(site: Site, call_as: CallAs, cloud: int) -> None:
    submit(site.ledger, site.ledger.runs.add(run_of(site, "ann", cloud, "")).test_id)
    second = site.ledger.runs.add(run_of(site, "ann", cloud, "")).test_id
    assert call_as("ann", "run", "show", str(second), "-f", "json").json["place"]["ahead"] == 1
    assert "1 run ahead, no available node runs it" in call_as("ann", "run", "show", str(second)).out
