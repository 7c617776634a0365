"""A token makes no other that outlives it: through the API and the pages, for vendors and operators."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import tokens
from tests.support.callers import Browser
from tests.support.ledgers import Clock

DAY = 86400.0
PATHS = ("/v1/tokens", "/v1/me/tokens")


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return create_app(ledger).test_client()


def call(client: FlaskClient, secret: str, path: str, **body: Any) -> Any:
    scopes = {} if "/me/" in path else {"scopes": ["operator"]}
    return client.post(path, json={"name": "new", **scopes, **body}, headers={"Authorization": f"Bearer {secret}"})


def new_secret(ledger: Ledger, clock: Clock, path: str, days: float) -> str:
    user_id = ledger.accounts.add_user("ann", "ann@x").id
    scopes = ["vendor"] if "/me/" in path else ["operator"]
    return ledger.tokens.add("short", scopes, user_id, clock() + days * DAY if days else 0.0)[1]


@pytest.mark.parametrize("path", PATHS)
def test_no_new_token_outlives_the_one_that_makes_it(
    ledger: Ledger, clock: Clock, client: FlaskClient, path: str
) -> None:
    secret, end = new_secret(ledger, clock, path, 10), clock() + 10 * DAY
    for wanted, field in (({"days": 11}, "days"), ({"expires_in": int(10 * DAY) + 1}, "expires_in")):
        refused = call(client, secret, path, **wanted)
        assert refused.status_code == 400, wanted
        assert [error["field"] for error in refused.json["errors"]] == [field]
        assert "Your own token expires at 2027-01-25 08:00 UTC, and a new one can't outlive it" in refused.text
    assert call(client, secret, path, days=10).status_code == 201
    for wanted in ({}, {"days": 0}):
        made = call(client, secret, path, **wanted).json
        found = ledger.tokens.find(made["token"])
        assert found is not None and found.expires_at == end and made["expires_at"].startswith("2027-01-25T08:00:00")


@pytest.mark.parametrize("path", PATHS)
def test_a_token_that_does_not_expire_makes_any(ledger: Ledger, clock: Clock, client: FlaskClient, path: str) -> None:
    secret = new_secret(ledger, clock, path, 0)
    assert call(client, secret, path).json["expires_at"] is None
    assert call(client, secret, path, days=3650).status_code == 201


def test_the_page_offers_no_longer_life(ledger: Ledger, clock: Clock, client: FlaskClient) -> None:
    browser = Browser(client, new_secret(ledger, clock, "operator", 40))
    page = browser.get("/tokens").text
    assert "In 30 days" in page and "In 90 days" not in page
    assert '<option value="0" selected>With the token you use</option>' in page
    refused = browser.send("/tokens", name="new", scope="operator", days="90")
    assert refused.status_code == 400 and "a new one can&#39;t outlive it" in refused.text
    assert browser.send("/tokens", name="new", scope="operator", days="0").status_code == 200
    assert ledger.tokens.all()[-1].expires_at == clock() + 40 * DAY


def test_the_page_offers_any_life_otherwise(ledger: Ledger, clock: Clock, client: FlaskClient) -> None:
    page = Browser(client, new_secret(ledger, clock, "operator", 0)).get("/tokens").text
    assert '<option value="90" selected>' in page and '<option value="0">Never</option>' in page


def test_a_user_has_so_many_tokens_and_no_more(
    ledger: Ledger, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_OF_USER", 3, raising=False)
    ann, bob = (ledger.accounts.add_user(name, f"{name}@x").id for name in ("ann", "bob"))
    secret = ledger.tokens.add("first", ["vendor"], ann)[1]
    ledger.tokens.add("of another", ["vendor"], bob)
    made = [call(client, secret, "/v1/me/tokens") for _ in range(2)]
    assert [one.status_code for one in made] == [201, 201]
    refused = call(client, secret, "/v1/me/tokens")
    assert refused.status_code == 400 and "3 tokens" in refused.text
    assert "3 tokens" in Browser(client, secret).send("/tokens", name="new", days="0").text
    ledger.tokens.revoke(made[0].json["id"])
    assert call(client, secret, "/v1/me/tokens").status_code == 201


def test_of_tokens_that_have_ended_only_the_latest_are_kept(
    ledger: Ledger, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "KEPT_ENDED", 2, raising=False)
    ann, bob = (ledger.accounts.add_user(name, f"{name}@x").id for name in ("ann", "bob"))
    secret = ledger.tokens.add("first", ["vendor"], ann)[1]
    theirs = ledger.tokens.add("of another", ["vendor"], bob)[0].id
    ledger.tokens.revoke(theirs)
    for _ in range(5):
        ledger.tokens.revoke(call(client, secret, "/v1/me/tokens").json["id"])
    last = call(client, secret, "/v1/me/tokens").json["id"]
    assert [one.id for one in ledger.tokens.all()] == [1, theirs, last - 2, last - 1, last]
