"""Sign-in by OpenID Connect with a real provider on loopback: the flow, and answers that prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import update

from refstack_worker.config.server import ServerSettings
from refstack_worker.config.sign_in import SignInSettings
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.server.app import create_app
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.openid import Flow, Provider
from refstack_worker.server.web import openid
from tests.support.openid_provider import Client, OpenIDProvider, openid_provider

CALLBACK = "http://127.0.0.1:8000/sign-in/callback"


USERS: dict[str, dict[str, Any]] = {
    "s-ann": {"email": "Ann@Example.org", "email_verified": True, "name": "Ann"},
    "s-unverified": {"email": "bob@example.org", "email_verified": False},
    "s-eve": {"email": "eve@elsewhere", "email_verified": True},
}


@pytest.fixture(scope="module")
def running() -> Iterator[OpenIDProvider]:
    with openid_provider(USERS, Client("refstack", "", CALLBACK)) as provider:
        yield provider


@pytest.fixture
def issuer(running: OpenIDProvider) -> str:
    running.client.secret, running.claims_in_token = "", True
    return running.url


def consent(url: str, subject: str) -> dict[str, str]:
    """Do what a user does at the provider; return the query that comes back."""
    answer = requests.post(url, data={"sub": subject}, allow_redirects=False, timeout=30)
    assert answer.status_code in (302, 303), answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


@pytest.fixture
def provider(issuer: str) -> Provider:
    return Provider(SignInSettings(issuer=issuer, client_id="refstack"), CALLBACK)


def test_a_whole_flow_tells_who_it_is(provider: Provider, issuer: str) -> None:
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-ann")
    found = provider.identity(flow, back["state"], back["code"])
    assert (found.issuer, found.subject, found.email) == (issuer, "s-ann", "Ann@Example.org")


def test_a_confidential_client_keeps_its_secret_in_a_file(running: OpenIDProvider, issuer: str, tmp_path: Path) -> None:
    running.client.secret = "s3cret"
    (tmp_path / "secret").write_text("s3cret\n")
    flow = Flow.begin()
    provider = Provider(SignInSettings(issuer, "refstack", tmp_path / "secret"), CALLBACK)
    back = consent(provider.authorization_url(flow), "s-ann")
    assert provider.identity(flow, back["state"], back["code"]).subject == "s-ann"
    with pytest.raises((RefusedError, ServerError)):
        provider.identity(flow, back["state"], back["code"])


def test_claims_may_come_from_the_user_info(running: OpenIDProvider, provider: Provider) -> None:
    running.claims_in_token = False
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-ann")
    assert provider.identity(flow, back["state"], back["code"]).email == "Ann@Example.org"


def test_new_keys_of_the_provider_are_fetched(running: OpenIDProvider, provider: Provider) -> None:
    provider.authorization_url(Flow.begin())
    running.rotate_key()
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-ann")
    assert provider.identity(flow, back["state"], back["code"]).subject == "s-ann"


def test_an_address_that_is_not_verified_counts_for_nothing(provider: Provider) -> None:
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-unverified")
    assert provider.identity(flow, back["state"], back["code"]).email == ""


@pytest.mark.parametrize("changed", ["state", "nonce", "verifier"])
def test_answers_of_another_sign_in_are_refused(provider: Provider, changed: str) -> None:
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-ann")
    other = replace(flow, **{changed: getattr(Flow.begin(), changed)})
    with pytest.raises(RefusedError) as caught:
        provider.identity(other, back["state"], back["code"])
    assert caught.value.reason == "sign-in"


def test_tokens_for_others_and_of_others_are_refused(provider: Provider, issuer: str) -> None:
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-ann")
    stranger = Provider(SignInSettings(issuer=issuer, client_id="refstack"), CALLBACK)
    tokens = stranger._tokens(back["code"], flow.verifier)
    for_other = Provider(SignInSettings(issuer=issuer, client_id="another"), CALLBACK)
    with pytest.raises(RefusedError, match=r"[Aa]udience"):
        for_other._claims(tokens["id_token"], flow.nonce)
    head, body, signature = tokens["id_token"].split(".")
    for forged in (f"{head}.{body}.{signature[:-4]}AAAA", f"eyJhbGciOiJub25lIn0.{body}.", "not.a.token"):
        with pytest.raises(RefusedError, match="not valid"):
            stranger._claims(forged, flow.nonce)


def test_a_provider_that_is_away_or_another_is_told() -> None:
    with pytest.raises(ServerError, match="connection refused"):
        Provider(SignInSettings(issuer="http://127.0.0.1:9", client_id="x"), CALLBACK).authorization_url(Flow.begin())


class Browser:
    """A browser in front of the pages and the provider."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def sign_in(self, subject: str, start: str = "/sign-in/openid?next=/clouds") -> Any:
        begun = self.client.get(start)
        assert begun.status_code == 303, begun.text
        return self.client.get("/sign-in/callback", query_string=consent(begun.headers["Location"], subject))


@pytest.fixture
def ledger_with_provider(ledger: Ledger, issuer: str) -> Ledger:
    sign_in = SignInSettings(issuer=issuer, client_id="refstack", name="Example ID")
    settings: ServerSettings = replace(ledger.settings, sign_in=sign_in)
    ledger.settings = settings
    return ledger


@pytest.fixture
def browser(ledger_with_provider: Ledger) -> Browser:
    return Browser(create_app(ledger_with_provider).test_client())


def test_a_known_address_signs_in_and_is_known_by_its_subject_from_then_on(ledger: Ledger, browser: Browser) -> None:
    user = ledger.accounts.add_user("ann", "ann@example.org")
    assert "Sign in with Example ID" in browser.client.get("/sign-in").text
    done = browser.sign_in("s-ann")
    assert (done.status_code, done.headers["Location"]) == (303, "/clouds")
    assert browser.client.get("/clouds").status_code == 200
    issuer = ledger.settings.sign_in.issuer
    assert ledger.identities.user_id(issuer, "s-ann") == user.id
    (token,) = ledger.tokens.all()
    assert token.is_session and token.user_id == user.id and token.scopes == ("vendor",)


def test_signing_out_ends_it_and_tokens_of_ones_own_stay(ledger: Ledger, browser: Browser) -> None:
    ledger.accounts.add_user("ann", "ann@example.org")
    browser.sign_in("s-ann")
    page = browser.client.get("/tokens").text
    key = page.split('name="form_key" value="')[1].split('"')[0]
    made = browser.client.post("/tokens", data={"form_key": key, "name": "laptop", "scope": "vendor", "days": "90"})
    secret = "rsq_" + made.text.split("rsq_")[-1].split("<")[0]
    assert browser.client.post("/sign-out", data={"form_key": key}).status_code == 302
    assert browser.client.get("/clouds").headers["Location"].startswith("/sign-in")
    kept = ledger.tokens.find(secret)
    assert kept is not None and kept.expires_at - kept.created_at == pytest.approx(90 * 86400)


@pytest.mark.parametrize("subject", ["s-eve", "s-unverified"])
def test_strangers_and_unverified_addresses_do_not_get_in(ledger: Ledger, browser: Browser, subject: str) -> None:
    ledger.accounts.add_user("bob", "bob@example.org")
    refused = browser.sign_in(subject)
    assert refused.status_code == 403 and "Ask your RefStack operator" in refused.text
    assert ledger.tokens.all() == []


def test_an_invitation_works_once_and_for_any_identity(ledger: Ledger, browser: Browser) -> None:
    user = ledger.accounts.add_user("eva", "eva@work.example")
    secret = ledger.identities.invite(user.id).secret
    assert browser.sign_in("s-eve", f"/invitations/{secret}").headers["Location"] == "/runs"
    assert ledger.identities.user_id(ledger.settings.sign_in.issuer, "s-eve") == user.id
    assert browser.client.get(f"/invitations/{secret}").status_code == 404


def test_an_invitation_gives_no_second_identity(ledger: Ledger, browser: Browser) -> None:
    user = ledger.accounts.add_user("ann", "ann@example.org")
    browser.sign_in("s-ann")
    secret = ledger.identities.invite(user.id).secret
    assert "another identity" in browser.sign_in("s-eve", f"/invitations/{secret}").text


def test_without_the_browsers_own_cookie_an_answer_is_refused(ledger: Ledger, browser: Browser) -> None:
    ledger.accounts.add_user("ann", "ann@example.org")
    begun = browser.client.get("/sign-in/openid")
    back = consent(begun.headers["Location"], "s-ann")
    other = browser.client.application.test_client()
    assert other.get("/sign-in/callback", query_string=back).status_code == 403
    assert browser.client.get("/sign-in/callback?error=access_denied&state=x").status_code == 403


def test_an_operator_of_refstack_signs_in_as_one(ledger: Ledger, browser: Browser) -> None:
    user = ledger.accounts.add_user("ann", "ann@example.org")
    with ledger.database.writing() as connection:
        connection.execute(update(legacy_tables.user).where(legacy_tables.user.c.id == user.id).values(su=True))
    browser.sign_in("s-ann")
    assert browser.client.get("/fleet").status_code == 200
    with ledger.database.writing() as connection:
        connection.execute(update(legacy_tables.user).values(authorized=False))
    assert "disabled" in browser.sign_in("s-ann").text


def test_sign_in_is_off_unless_a_provider_is_set(ledger: Ledger) -> None:
    client = create_app(ledger).test_client()
    assert client.get("/sign-in/openid").status_code == 404 and "Sign in with" not in client.get("/sign-in").text


def test_a_provider_that_is_away_is_not_asked_by_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may begin a sign-in; all threads would wait for a provider that does not answer."""
    asked: list[str] = []

    def ask(_self: Provider, _method: str, url: str, **_more: Any) -> Any:
        asked.append(url)
        raise ServerError(f"{url}: no response in time")

    monkeypatch.setattr(Provider, "_ask", ask)
    provider = Provider(SignInSettings(issuer="https://id.example", client_id="refstack"), CALLBACK)
    for _ in range(5):
        with pytest.raises(ServerError, match="no response in time"):
            provider.authorization_url(Flow.begin())
    assert len(asked) == 1


def test_one_address_begins_few_sign_ins_at_a_time(ledger: Ledger, browser: Browser) -> None:
    with openid.TURNS.turn("127.0.0.1"), openid.TURNS.turn("127.0.0.1"):
        assert browser.client.get("/sign-in/openid").status_code == 429
    assert browser.client.get("/sign-in/openid").status_code == 303


def test_an_address_that_only_becomes_a_users_when_its_case_is_folded_is_another(ledger: Ledger) -> None:
    mike = ledger.accounts.add_user("mike", "mike@example.org")
    kelvin = "mi\N{KELVIN SIGN}e@example.org"
    assert kelvin.lower() == "mike@example.org", "what an attacker counts on"
    assert ledger.identities.bind_by_email("https://issuer", "s-eve", kelvin) is None
    assert ledger.identities.bind_by_email("https://issuer", "s-mike", "Mike@Example.org") == mike.id


@pytest.mark.parametrize("keys", [{"keys": 3}, {"keys": [3]}, {"keys": [{"kty": "RSA", "n": 3}]}, {"keys": None}])
def test_keys_of_another_shape_prove_nothing(provider: Provider, monkeypatch: pytest.MonkeyPatch, keys: Any) -> None:
    flow = Flow.begin()
    back = consent(provider.authorization_url(flow), "s-ann")
    monkeypatch.setattr(Provider, "_jwks", lambda *_: keys)
    with pytest.raises(RefusedError) as caught:
        provider.identity(flow, back["state"], back["code"])
    assert caught.value.reason == "sign-in"
