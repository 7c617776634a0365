"""Every page is shown, with what a vendor has after some weeks, to a vendor and to an operator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger
from tests.system.web.site import Site, furnish

FOR_ALL = ["/runs", "/runs?state=tests-failed", "/runs?state=passed", "/runs?state=open", "/runs?q=none",
           "/runs?cloud=1", "/runs/8", "/runs/7", "/runs/9", "/runs/10", "/runs/8?status=failed",
           "/runs/8?q=token", "/runs/8/tests/3",
           "/runs/8/compare?with=7", "/runs/new", "/runs/new?cloud=1", "/clouds", "/clouds/new", "/clouds/1",
           "/clouds/1/change", "/schedules", "/notifications",
           "/guidelines", "/tokens", "/about", "/docs/api"]  # fmt: skip
FOR_OPERATORS = ["/fleet", "/fleet/node-a.fra", "/vendors", "/audit", "/audit.csv"]


@pytest.fixture
def site(ledger: Ledger, tmp_path: Path) -> Site:
    users = {
        name: ledger.accounts.add_user(name, f"{name}@x", ledger.accounts.add_vendor(name).id).id
        for name in ("ann", "bob")
    }
    tokens = {name: ledger.tokens.add(name, ["vendor"], users[name])[1] for name in users}
    tokens["operator"] = ledger.tokens.add("operator", ["operator"])[1]
    site = Site(ledger, "", tmp_path, tokens, users)
    furnish(site)
    return site


@pytest.fixture(params=["ann", "operator"])
def client(site: Site, request: pytest.FixtureRequest) -> Iterator[tuple[str, FlaskClient]]:
    client = create_app(site.ledger).test_client()
    assert client.post("/sign-in", data={"token": site.tokens[request.param]}).status_code == 302
    yield request.param, client


def test_every_page(client: tuple[str, FlaskClient]) -> None:
    who, browser = client
    for path in FOR_ALL:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert not re.search(r"\bNone\b(?!-)", answer.text.replace("If-None-Match", "")), path
    for path in FOR_OPERATORS:
        assert browser.get(path).status_code == (200 if who == "operator" else 403), path


def test_unknown_addresses_get_a_page_for_browsers_and_json_for_programs(site: Site) -> None:
    client = create_app(site.ledger).test_client()
    for path in ("/nonsense", "/favicon.ico", "/runs/1/x"):
        answer = client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert answer.status_code == 404 and "<h1>Not found</h1>" in answer.text
        assert client.get(path).json["reason"] == "not-found"


def test_a_deep_link_keeps_its_query(site: Site) -> None:
    client = create_app(site.ledger).test_client()
    asked = client.get("/runs/8?status=failed").headers["Location"]
    assert asked == "/sign-in?next=/runs/8%3Fstatus%3Dfailed"
    answer = client.post("/sign-in", data={"token": site.tokens["ann"], "next": "/runs/8?status=failed"})
    assert answer.headers["Location"] == "/runs/8?status=failed"
    assert client.get("/sign-in").headers["Location"] == "/runs"


def test_failures_come_first_with_their_cause_and_the_fix(site: Site) -> None:
    client = create_app(site.ledger).test_client()
    client.post("/sign-in", data={"token": site.tokens["ann"]})
    page = client.get("/runs/8").text
    assert (
        '<strong>4 tests:</strong> <code class="wrap">tempest.lib.exceptions.Unauthorized: Unauthorized</code>' in page
    )
    assert "Check the user&#39;s name, password and domain." in page
    table = page[page.index('id="tests-table"') :]
    assert table.index('class="failed"') < table.index('class="passed"')


def test_what_operators_do_is_in_the_audit_log(site: Site) -> None:
    client = create_app(site.ledger).test_client()
    headers = {"Authorization": f"Bearer {site.tokens['operator']}"}
    client.post("/v1/queue/pause", headers=headers)
    client.post("/v1/queue/resume", headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    client.post("/v1/queue/resume", headers={"Authorization": f"Bearer {site.tokens['ann']}"})
    client.get("/v1/queue", headers=headers)
    entries = site.ledger.audit.entries()
    assert [(one.actor, one.action, one.address) for one in entries] == [
        ("operator", "resume queue", "192.0.2.7"),
        ("operator", "pause queue", "127.0.0.1"),
    ]


def test_an_announcement_is_on_every_page_until_it_is_taken_away(site: Site) -> None:
    operator, vendor = (create_app(site.ledger).test_client() for _ in range(2))
    headers = {"Authorization": f"Bearer {site.tokens['operator']}"}
    vendor.post("/sign-in", data={"token": site.tokens["ann"]})
    operator.put("/v1/announcement", json={"text": "Maintenance <soon>"}, headers=headers)
    assert "Maintenance &lt;soon&gt;" in vendor.get("/clouds").text
    refused = vendor.put(
        "/v1/announcement", json={"text": "x"}, headers={"Authorization": f"Bearer {site.tokens['ann']}"}
    )
    assert refused.status_code == 403
    operator.put("/v1/announcement", json={"text": ""}, headers=headers)
    assert "Maintenance" not in vendor.get("/clouds").text


def test_a_run_is_shared_by_the_vendors_name(site: Site) -> None:
    ann, bob = (create_app(site.ledger).test_client() for _ in range(2))
    ann.post("/sign-in", data={"token": site.tokens["ann"]})
    bob.post("/sign-in", data={"token": site.tokens["bob"]})
    found = re.search(r'name="form_key" value="(\w+)"', ann.get("/runs/8").text)
    assert found and bob.get("/runs/8").status_code == 404
    form = {"form_key": found[1], "vendor": "BOB"}
    assert ann.post("/runs/8/share", data=form).status_code == 303
    page = bob.get("/runs/8").text
    # a cloud that the other vendor cannot open is not a link
    assert "Acme Public, Frankfurt" in page and 'href="/clouds/1"' not in page and "/runs/8/cancel" not in page
    assert "Stop sharing with bob" in ann.get("/runs/8").text
    assert ann.post("/runs/8/share", data={**form, "action": "stop"}).status_code == 303
    assert bob.get("/runs/8").status_code == 404
    refused = ann.post("/runs/8/share", data={**form, "vendor": "nobody"})
    assert refused.status_code == 404
    # at the field, with what was typed, on the run's page
    assert 'value="nobody"' in refused.text and "There is no vendor" in refused.text
    assert 'aria-invalid="true"' in refused.text and '<details class="menu" open>' in refused.text


def test_a_run_tells_program_owner_and_page(site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.tokens['ann']}"}
    run = create_app(site.ledger).test_client().get("/v1/runs/8", headers=headers).json
    assert run["url"] == f"{site.ledger.settings.web.address}/runs/8"
    assert (run["program"], run["owner"]) == ("Example Powered Storage 2026.06", "ann, ann")


def test_a_paused_queue_is_told_to_those_who_wait(site: Site) -> None:
    site.ledger.queue.pause("operator", "new disks")
    client = create_app(site.ledger).test_client()
    client.post("/sign-in", data={"token": site.tokens["ann"]})
    page = client.get("/runs/10").text
    assert "Waiting: the operator paused the queue" in page and "new disks" in page and "Next in line" not in page
    assert "new disks" in client.get("/runs").text
