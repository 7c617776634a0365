"""``refstack-queue link``, ``badge`` and ``matrix`` against a real server, and what the links lead to."""

from __future__ import annotations

import time
from xml.etree import ElementTree

import pytest
import requests

from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from tests.support.ledgers import submit
from tests.system.web.site import PROGRAM, Site, finish, guideline, run_of
from tests.unit.cli.queue.conftest import CallAs


@pytest.fixture
def run(site: Site) -> int:
    """A run of ann's against her cloud, judged by a guideline: it does not meet it."""
    stored = site.ledger.guidelines.add(guideline(), StoredGuideline(0, "", ""))
    cloud = site.ledger.clouds.add(NewCloud("Prod", "https://prod.example/v3", user_id=site.users["ann"])).cloud.id
    new = site.ledger.runs.add(run_of(site, "ann", cloud, "nightly"))
    site.ledger.guidelines.choose(new.test_id, Choice(stored.id, PROGRAM))
    job = submit(site.ledger, new.test_id)
    site.ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-a", "47.0.0"))
    finish(site, job, ["objectstore-temp-url-get"])
    return new.test_id


def local(site: Site, url: str) -> str:
    return site.url + url.removeprefix(site.ledger.settings.web.address)


def test_a_link_shows_the_report_until_it_is_deleted(site: Site, call_as: CallAs, run: int) -> None:
    made = call_as("ann", "link", "create", str(run), "--days", "7", "-f", "json").json
    answer = requests.get(local(site, made["url"]), timeout=30)
    assert answer.status_code == 200 and "nightly" in answer.text and "Unauthorized" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert call_as("bob", "link", "list", str(run)).status == 6
    assert [one["Id"] for one in call_as("ann", "link", "list", str(run), "-f", "json").json] == [made["id"]]
    assert call_as("ann", "link", "delete", str(run), str(made["id"])).status == 0
    assert requests.get(local(site, made["url"]), timeout=30).status_code == 404


def test_a_link_expires(site: Site, call_as: CallAs, run: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = call_as("ann", "link", "create", str(run), "--days", "1", "-f", "json").json
    monkeypatch.setattr(site.ledger.links, "clock", lambda: time.time() + 2 * 86400, raising=False)
    assert requests.get(local(site, made["url"]), timeout=30).status_code == 404


def test_badge_and_feed_tell_the_last_verdict(site: Site, call_as: CallAs, run: int) -> None:
    made = call_as("ann", "badge", "create", "prod", "Storage", "-f", "json").json
    badge = requests.get(local(site, made["badge"]), timeout=30)
    assert badge.headers["Content-Type"].startswith("image/svg+xml")
    assert "not passed 20/24" in ElementTree.fromstring(badge.content).get("aria-label", "")
    feed = ElementTree.fromstring(requests.get(local(site, made["feed"]), timeout=30).content)
    assert [one.text for one in feed.iter("{http://www.w3.org/2005/Atom}id")][1].endswith(f"/runs/{run}")
    secret = made["badge"].rpartition("/")[2].removesuffix(".svg")
    assert requests.get(f"{site.url}/shared/{secret}", timeout=30).status_code == 404, "it leads to no run"
    assert call_as("ann", "badge", "create", "prod", "Nothing").status == 2
    assert call_as("bob", "badge", "list", "1").status == 6
    (listed,) = call_as("ann", "badge", "list", "Prod", "-f", "json").json
    assert call_as("ann", "badge", "delete", "Prod", str(listed["Id"])).status == 0
    assert requests.get(local(site, made["badge"]), timeout=30).status_code == 404


def test_the_matrix_shows_own_clouds_and_operators_all(call_as: CallAs, run: int) -> None:
    (row,) = call_as("ann", "matrix", "-f", "json").json
    assert (row["Cloud"], row["Verdict"], row["Tests"], row["Run"]) == ("Prod", "not passed", "20/24", run)
    assert call_as("bob", "matrix", "-f", "json").json == []
    assert len(call_as("operator", "matrix", "-f", "json").json) == 1


def test_a_read_only_token_makes_no_links(site: Site, call_as: CallAs, run: int) -> None:
    site.tokens["reader"] = site.ledger.tokens.add("reader", ["vendor", "read"], site.users["ann"])[1]
    assert call_as("reader", "link", "create", str(run)).status == 8
    assert call_as("reader", "matrix", "-f", "json").json != []
