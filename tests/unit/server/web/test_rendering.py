"""Every page is shown, with what a vendor has after some weeks, to a vendor and to an operator."""

from __future__ import annotations

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
           "/clouds/1/change", "/guidelines", "/tokens", "/about"]  # fmt: skip
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
        assert "None" not in answer.text.replace("None of", ""), path
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
