"""What stands between a browser's session and other sites; the pages themselves are in ``tests/system/web``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.domain import guideline_file
from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.web.session_keys import COOKIE
from tests.unit.server.domain.test_verdict import schema_2

HERE = "http://localhost"


class Browser:
    """A client with a cookie jar, and the token that it signs in with."""

    def __init__(self, ledger: Ledger, scopes: tuple[str, ...] = ("vendor",)) -> None:
        vendor = ledger.accounts.add_vendor("Acme").id
        self.user = ledger.accounts.add_user("ann", "ann@x", vendor).id
        self.ledger = ledger
        self.token = ledger.tokens.add("ann's", list(scopes), self.user)[1]
        self.client: FlaskClient = create_app(ledger).test_client()

    def sign_in(self, headers: Mapping[str, str] | None = None, **form: str) -> Any:
        return self.client.post("/sign-in", data={"token": self.token, **form}, headers=headers)

    def key(self) -> str:
        """The key in the forms of this session."""
        found = re.search(r'name="form_key" value="([0-9a-f]+)"', self.client.get("/runs/new").text)
        assert found
        return found[1]


@pytest.fixture
def browser(ledger: Ledger) -> Browser:
    return Browser(ledger)


def test_a_session_is_made_anew_and_is_no_scripts_to_read(browser: Browser) -> None:
    said = browser.sign_in({"Cookie": f"{COOKIE}=chosen-by-somebody-else"}).headers["Set-Cookie"]
    assert "HttpOnly" in said and "SameSite=Lax" in said and "chosen-by" not in said
    assert browser.token not in said and browser.client.get("/runs").status_code == 200


@pytest.mark.parametrize(
    "goal",
    ["https://evil.example/", "//evil.example/", "/\\evil.example/", "/\t/evil.example", "javascript:alert(1)",
     "/runs?x=//evil.example", "/runs\r\nSet-Cookie: a=b", " //evil.example"],
)  # fmt: skip
def test_signing_in_leads_to_no_other_site(browser: Browser, goal: str) -> None:
    assert browser.sign_in(next=goal).headers["Location"] == "/runs"
    shown = browser.client.get("/sign-in", query_string={"next": goal}).text
    assert "evil" not in shown and "alert" not in shown


def test_another_site_cannot_sign_somebody_in(browser: Browser) -> None:
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        answer = browser.sign_in({"Origin": origin})
        assert answer.status_code == 403 and "Set-Cookie" not in answer.headers
    assert browser.sign_in({"Origin": HERE}).status_code == 302
    # behind a proxy that changes the host, the server goes by its own address
    own = browser.ledger.settings.web.address
    assert browser.sign_in({"Origin": own, "Host": "backend:8000"}).status_code == 302


@pytest.mark.parametrize("path", ["/sign-in", "/runs/1/cancel", "/runs/new"])
def test_an_origin_that_is_no_address_is_another_site_and_no_fault(
    browser: Browser, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Anyone could fill the log with tracebacks."""
    answer = browser.client.post(path, data={"token": "x"}, headers={"Origin": "http://[::1"})
    assert answer.status_code in (303, 403) and "Traceback" not in caplog.text


def test_a_form_without_the_sessions_key_changes_nothing(browser: Browser, ledger: Ledger) -> None:
    browser.sign_in()
    cloud = {"label": "x", "endpoint_v3": "https://cloud.example/v3"}
    for form in (cloud, {**cloud, "form_key": "f" * 64}, {**cloud, "form_key": "\u00fc"}):
        assert browser.client.post("/clouds/new", data=form).status_code == 403
    assert ledger.clouds.all(None) == []
    other = Browser.__new__(Browser)
    other.__dict__.update(browser.__dict__, client=create_app(ledger).test_client())
    other.sign_in()
    assert browser.client.post("/clouds/new", data={**cloud, "form_key": other.key()}).status_code == 403
    assert browser.client.post("/clouds/new", data={**cloud, "form_key": browser.key()}).status_code in (302, 303)
    assert len(ledger.clouds.all(None)) == 1


def test_who_may_only_look_sends_no_form(ledger: Ledger) -> None:
    browser = Browser(ledger, ("vendor", "read"))
    browser.sign_in()
    form = {"label": "x", "endpoint_v3": "https://cloud.example/v3", "form_key": browser.key()}
    assert browser.client.post("/clouds/new", data=form).status_code == 403
    assert ledger.clouds.all(None) == []


def test_an_ended_session_is_ended_on_the_server(browser: Browser) -> None:
    secret = re.search(rf"{COOKIE}=([^;]+)", browser.sign_in().headers["Set-Cookie"])
    assert secret
    assert browser.client.post("/sign-out", data={"form_key": browser.key()}).status_code == 302
    thief = create_app(browser.ledger).test_client(use_cookies=False)
    answer = thief.get("/runs", headers={"Cookie": f"{COOKIE}={secret[1]}"})
    assert answer.headers["Location"].startswith("/sign-in")


def test_pages_load_nothing_from_elsewhere_and_are_in_no_frame(browser: Browser) -> None:
    browser.sign_in()
    for path in ("/runs", "/runs/new", "/sign-in", "/clouds", "/static/style.css", "/runs/999"):
        headers = browser.client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy and headers["X-Content-Type-Options"] == "nosniff", path


def test_who_guesses_tokens_waits(browser: Browser) -> None:
    wrong = [browser.client.post("/sign-in", data={"token": f"rsq_{n}"}).status_code for n in range(11)]
    assert wrong == [401] * 10 + [429]
    # wrong tokens from an address do not shut out a user with a good one
    assert browser.sign_in().status_code == 302


def test_pages_read_each_guideline_once(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """M5: 200 files of 4 MiB took a minute of every page that lists them."""
    names = [f"nightly {browser.token[-8:]} {number}" for number in range(3)]
    for name in names:
        browser.ledger.guidelines.add(schema_2(), StoredGuideline(0, name, "", "", "op"))
    read: list[str] = []
    parse = guideline_file.parse

    def counted(text: str, name: str = "") -> object:
        read.append(name)
        return parse(text, name=name)

    monkeypatch.setattr(guideline_file, "parse", counted)
    browser.sign_in()
    for path in ("/guidelines", "/runs/new", "/guidelines", "/runs/new"):
        shown = browser.client.get(path).text
        assert all(name in shown for name in names)
    assert len(read) <= len(names)


def test_pages_are_shown_beside_a_guideline_that_is_no_longer_taken(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files stored by older versions may have test names without a limit."""
    text = schema_2().replace("tempest.a.T.test_get", "a" * 600)
    with monkeypatch.context() as patched:
        patched.setattr(guideline_file, "MAX_TEST_NAME", 1000)
        old = browser.ledger.guidelines.add(text, StoredGuideline(0, f"old {browser.token[-8:]}", "", "", "op")).id
    browser.sign_in()
    for path in ("/guidelines", "/runs/new"):
        shown = browser.client.get(path)
        assert shown.status_code == 200
    refused = browser.client.get(f"/guidelines/{old}")
    assert refused.status_code == 400 and "has 600 characters" in refused.text
