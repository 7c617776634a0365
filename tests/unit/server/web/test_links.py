"""The forms that make links, and the page of verdicts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.domain import guideline_file
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import links
from tests.support.ledgers import claimed, stream
from tests.support.vendor_pages import errors
from tests.system.web.site import PROGRAM, events, guideline


@pytest.fixture
def run(ledger: Ledger, tmp_path: Path) -> int:
    stored = ledger.guidelines.add(guideline(), StoredGuideline(0, "", ""))
    user = ledger.accounts.add_user("ann", "ann@x")
    cloud = ledger.clouds.add(NewCloud("Prod", "https://cloud.example/v3", user_id=user.id)).cloud.id
    job = claimed(ledger, cloud_id=cloud, owner_id=user.id, label="nightly")
    ledger.guidelines.choose(job.submission.key.test_id, Choice(stored.id, PROGRAM))
    (tmp_path / "stream").write_bytes(stream(events()))
    acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "stream", {}))
    return job.submission.key.test_id


@pytest.fixture
def client(ledger: Ledger, run: int) -> FlaskClient:
    client = create_app(ledger).test_client()
    client.post("/sign-in", data={"token": ledger.tokens.add("ann's", ["vendor"], 1)[1]})
    return client


def key_of(client: FlaskClient) -> str:
    found = re.search(r'name="form_key" value="(\w+)"', client.get("/runs").text)
    assert found
    return found.group(1)


def test_a_link_to_a_run_is_shown_once_and_taken_back(client: FlaskClient, ledger: Ledger, run: int) -> None:
    key = key_of(client)
    made = client.post(f"/runs/{run}/links", data={"form_key": key, "days": "7"})
    path = re.findall(r"/shared/[\w-]+", made.text)[0]
    guest = create_app(ledger).test_client()
    assert "nightly" in guest.get(path).text
    assert path not in client.get(f"/runs/{run}").text
    (link,) = ledger.links.of_run(run)
    assert client.post(f"/runs/{run}/links/{link.id}/delete", data={"form_key": key}).status_code == 303
    assert guest.get(path).status_code == 404


def test_a_link_that_is_refused_leaves_the_form_open_with_the_choice(
    client: FlaskClient, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 0)
    key = key_of(client)
    refused = client.post(f"/runs/{run}/links", data={"form_key": key, "days": "90"})
    assert refused.status_code == 400 and errors(refused.text) == {"days": "there are 0 links; delete one first"}
    assert '<option value="90" selected>' in refused.text and '<option value="30">' in refused.text
    assert '<details class="menu" open><summary class="button">Share' in refused.text
    assert client.post(f"/runs/{run}/links", data={"form_key": key, "days": "0"}).status_code == 400
    refused = client.post("/clouds/1/links", data={"form_key": key, "program": PROGRAM})
    assert refused.status_code == 400 and errors(refused.text) == {"program": "there are 0 links; delete one first"}
    assert "<h1><bdi>Prod</bdi></h1>" in refused.text


def test_a_run_that_is_deleted_meanwhile_is_no_fault(
    client: FlaskClient, ledger: Ledger, run: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, token = key_of(client), ledger.tokens.add("ann's other", ["vendor"], 1)[1]
    monkeypatch.setattr(links, "_check_number", lambda *_: ledger.retention.delete(run))
    answer = client.post(f"/v1/runs/{run}/links", json={"days": 3}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 409 and "at the same time" in answer.json["detail"]
    assert "FOREIGN KEY" in caplog.text and "Traceback" not in caplog.text
    assert client.post(f"/runs/{run}/links", data={"form_key": key}).status_code == 404


def test_badge_and_feed_are_made_on_the_clouds_page(client: FlaskClient, ledger: Ledger) -> None:
    key = key_of(client)
    made = client.post("/clouds/1/links", data={"form_key": key, "program": PROGRAM})
    guest = create_app(ledger).test_client()
    for path in re.findall(r"/(?:badges|feeds)/[\w-]+\.(?:svg|atom)", made.text):
        assert guest.get(path).status_code == 200
    assert PROGRAM in client.get("/clouds/1").text
    (link,) = ledger.links.of_cloud(1)
    client.post(f"/clouds/1/links/{link.id}/delete", data={"form_key": key})
    assert ledger.links.of_cloud(1) == []


def test_the_page_of_verdicts(client: FlaskClient) -> None:
    told = client.get("/matrix").text
    assert "Prod" in told and "24/24" in told and PROGRAM in told


def test_guessing_is_slowed_down(ledger: Ledger) -> None:
    guest = create_app(ledger).test_client()
    answers = [guest.get(f"/shared/guess-{number}").status_code for number in range(12)]
    assert answers[0] == 404 and answers[-1] == 429


def test_a_vendors_own_guideline_gives_no_badge(client: FlaskClient, ledger: Ledger, tmp_path: Path) -> None:
    """Badges are seen without a sign-in, at the operator's address: whose file the guideline was would not be seen."""
    key = key_of(client)
    made = client.post("/clouds/1/links", data={"form_key": key, "program": PROGRAM})
    badge = re.findall(r"/badges/[\w-]+\.svg", made.text)[0]
    guest = create_app(ledger).test_client()
    before = guest.get(badge).text
    own = ledger.guidelines.add(guideline(), StoredGuideline(0, "2099.01", "", owner_id=1))
    job = claimed(ledger, cloud_id=1, owner_id=1)
    ledger.guidelines.choose(job.submission.key.test_id, Choice(own.id, PROGRAM))
    (tmp_path / "own").write_bytes(stream(events()))
    acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "own", {}))
    assert guest.get(badge).text == before and "2099.01" not in before
    # who is signed in sees it, and whose it is
    assert "2099.01 (own)" in client.get("/matrix").text


def test_a_run_of_another_server_gives_no_badge(client: FlaskClient, ledger: Ledger, tmp_path: Path, run: int) -> None:
    """It names the cloud, and with its own options a server that passes; what failed there is rerun on the cloud."""
    made = client.post("/clouds/1/links", data={"form_key": key_of(client), "program": PROGRAM})
    paths = re.findall(r"/(?:badges|feeds)/[\w-]+\.(?:svg|atom)", made.text)
    guest = create_app(ledger).test_client()
    before = [guest.get(path).text for path in paths]
    matrix = client.get("/matrix").text
    conf = {"identity": {"uri_v3": "https://devstack.example/v3", "password": "another-password-1"}}
    job = claimed(ledger, cloud_id=1, owner_id=1, conf_json=conf)
    elsewhere, choice = job.submission.key.test_id, ledger.guidelines.choice(run)
    assert choice is not None
    ledger.guidelines.choose(elsewhere, choice)
    (tmp_path / "elsewhere").write_bytes(stream(events()))
    acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "elsewhere", {"cpid": "abc"}))
    assert [guest.get(path).text for path in paths] == before and client.get("/matrix").text == matrix
    job = claimed(ledger, cloud_id=1, owner_id=1)
    ledger.guidelines.choose(job.submission.key.test_id, replace(choice, combines=elsewhere))
    (tmp_path / "again").write_bytes(stream(events()[:1]))
    acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "again", {"cpid": "abc"}))
    verdict = ledger.links.verdicts_of(1, PROGRAM, 1)[0]
    assert (verdict.test_id, verdict.passed) == (job.submission.key.test_id, False)
    shown = client.get(f"/runs/{verdict.test_id}").text
    assert f"The result of run {elsewhere} is not included" in shown and "Combined over" not in shown


def test_links_read_each_guideline_once(client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of(client)  # the first page of a process reads it, too
    read: list[str] = []
    real = guideline_file.parse
    monkeypatch.setattr(guideline_file, "parse", lambda text, **more: read.append(text) or real(text, **more))
    monkeypatch.setattr(links, "_PROGRAMS", {})
    for program in (PROGRAM, "none", "none"):
        client.post("/clouds/1/links", data={"form_key": key, "program": program})
    assert len(read) == 1


def test_readers_of_links_hold_the_places_of_the_owner(client: FlaskClient, ledger: Ledger, run: int) -> None:
    # an owner could make any number of links, and with each keep others from reading their results
    key = key_of(client)
    paths = [
        re.findall(r"/shared/[\w-]+", client.post(f"/runs/{run}/links", data={"form_key": key, "days": "7"}).text)[0]
        for _ in range(2)
    ]
    guest = client.application.test_client()
    operator = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
    under_way = [guest.get(paths[0]) for _ in range(2)]
    assert [guest.get(path).status_code for path in paths] == [429, 429]
    assert client.get(f"/runs/{run}/file/html").status_code == 429
    assert guest.get(f"/v1/runs/{run}/exports/html", headers=operator).status_code == 200
    for answer in under_way:
        answer.close()
    assert guest.get(paths[1]).status_code == 200


def test_a_link_without_a_place_costs_no_verdict(
    client: FlaskClient, ledger: Ledger, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/shared/{ledger.links.add(links.Link(0, run, None, expires_at=ledger.clock() + 60))[1]}"
    guest = client.application.test_client()
    under_way = [guest.get(path) for _ in range(2)]
    read: list[int] = []
    monkeypatch.setattr(ledger.guidelines, "verdict", read.append)
    assert guest.get(path).status_code == 429
    assert not read
    for answer in under_way:
        answer.close()
