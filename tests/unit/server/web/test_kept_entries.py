"""What was typed outlives the session, another tab and an error; where it does not, no page claims it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import cloud_check
from refstack_worker.server.services.turns import Turns
from tests.support.ledgers import Clock
from tests.support.vendor_pages import HERE, Vendor, errors

KEPT = "your entries are kept, except for passwords and files"
BUSY = "Too many connection tests are running."


@pytest.fixture
def vendor(ledger: Ledger, clock: Clock) -> Vendor:
    return Vendor(ledger, clock)


@pytest.fixture
def operator(ledger: Ledger, vendor: Vendor) -> Vendor:
    vendor.token = ledger.tokens.add("op", ["operator"], None)[1]
    vendor.sign_in()
    return vendor


def expired(vendor: Vendor, path: str, /, **form: Any) -> Any:
    """Send a form after the session's end. Return the page that asks to sign in."""
    key = vendor.key()
    vendor.forget_session()
    answer = vendor.client.post(path, data={"form_key": key, **form}, headers=HERE)
    assert answer.status_code == 401 and "Your session has expired" in answer.text
    return answer


def sign_in_there(vendor: Vendor, page: str) -> Any:
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    return vendor.sign_in(**{name: html.unescape(value) for name, value in hidden.items()})


def checked(page: str) -> list[str]:
    return re.findall('type="checkbox" name="[a-z]+" value="([a-z._]+)" checked', page)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/schedules", {"days": ["mon", "wed", "fri"], "time": "03:15"}),
        ("/notifications", {"kinds": ["run.ended", "run.waiting"], "channel": "webhook"}),
        ("/notifications", {"kinds": [""], "channel": "webhook"}),
    ],
    ids=str,
)
def test_each_ticked_box_is_ticked_again(vendor: Vendor, path: str, form: dict[str, Any]) -> None:
    ticked = [value for value in form.get("days", form.get("kinds")) if value]
    old = vendor.key()
    again = sign_in_there(vendor, expired(vendor, path, **form).text)
    assert again.status_code == 200 and checked(again.text) == ticked
    other_tab = vendor.client.post(path, data={"form_key": old, **form}, headers=HERE)
    assert other_tab.status_code == 403 and checked(other_tab.text) == ticked


def test_forms_of_a_vendor_keep_their_text(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    change = f"/clouds/{vendor.stored}/change"
    # settings are frozen
    monkeypatch.setitem(vars(vendor.ledger.settings.outbound), "list_urls", ("https://lists.example/",))
    for path, form in ((change, {"label": "new text", "password": "pw-x"}), ("/guidelines", {"url": "new text"})):
        asked = expired(vendor, path, **form)
        assert KEPT in asked.text and "pw-x" not in asked.text
        again = sign_in_there(vendor, asked.text)
        assert again.status_code == 200 and 'value="new text"' in again.text, path
    refused = vendor.send("/guidelines", url="https://elsewhere.example/2025.06.json")
    assert refused.status_code == 400 and 'value="https://elsewhere.example/2025.06.json"' in refused.text


def test_forms_of_an_operator_keep_their_text(operator: Vendor) -> None:
    vendor_id = operator.ledger.accounts.user(operator.user).vendor_id
    forms = {
        "/vendors": "contact_name", f"/vendors/{vendor_id}": "contact_name", f"/users/{operator.user}": "name",
        "/fleet/announce": "announcement", "/fleet/pause": "reason",
    }  # fmt: skip
    for path, field in forms.items():
        asked = expired(operator, path, **{field: "long text"})
        again = sign_in_there(operator, asked.text)
        assert KEPT in asked.text and again.status_code == 200 and 'value="long text"' in again.text, path
    assert operator.ledger.notices.current() is None and not operator.ledger.queue.is_paused()


def test_another_user_who_signs_in_gets_a_session_and_no_foreign_form(ledger: Ledger, operator: Vendor) -> None:
    page = expired(operator, f"/clouds/{operator.stored}/change", label="text").text
    bob = ledger.accounts.add_user("bob", "bob@x", ledger.accounts.add_vendor("Bravo").id).id
    operator.token = ledger.tokens.add("bob", ["vendor"], bob)[1]
    answer = sign_in_there(operator, page)
    assert answer.status_code == 302 and answer.headers["Location"] == f"/clouds/{operator.stored}/change"
    assert operator.client.get("/runs").status_code == 200
    assert operator.client.get(answer.headers["Location"]).status_code == 404


def test_an_action_after_the_sessions_end_leads_to_its_page(vendor: Vendor) -> None:
    run = vendor.run().headers["Location"]
    cloud = f"/clouds/{vendor.stored}"
    goals = {
        f"{run}/rerun": run, f"{run}/cancel": run, f"{run}/links": run, f"{run}/links/1/delete": run,
        f"{cloud}/check": cloud, f"{cloud}/links": cloud, "/schedules/1/pause": "/schedules",
        "/tokens/1/revoke": "/tokens", "/sign-out": "/",
    }  # fmt: skip
    for path, goal in goals.items():
        asked = expired(vendor, path, days="30")
        assert "kept" not in asked.text and "then repeat the action" in asked.text, path
        answer = sign_in_there(vendor, asked.text)
        assert answer.headers["Location"] == goal, path
        assert vendor.client.get(goal, follow_redirects=True).status_code == 200


def test_the_forms_of_a_run_keep_what_was_typed(vendor: Vendor) -> None:
    run = vendor.run().headers["Location"]
    vendor.send(f"{run}/cancel")
    asked = expired(vendor, f"{run}/share", vendor="Bravo Cloud", action="share")
    assert KEPT in asked.text
    again = sign_in_there(vendor, asked.text)
    assert again.status_code == 200 and 'name="vendor" type="text" value="Bravo Cloud"' in again.text
    assert '<details class="menu" open><summary class="button">Share' in again.text
    old = vendor.key()
    vendor.sign_in()
    other_tab = vendor.client.post(f"{run}/share", data={"form_key": old, "vendor": "Bravo Cloud"}, headers=HERE)
    assert other_tab.status_code == 403 and 'value="Bravo Cloud"' in other_tab.text
    assert "Your entries are kept: submit again." in other_tab.text
    asked = expired(vendor, f"{run}/rerun", only="failed", accounts="- username: u1")
    assert KEPT in asked.text and "u1" not in asked.text
    again = sign_in_there(vendor, asked.text)
    assert '<details class="menu" open><summary class="button">Rerun' in again.text


def test_a_button_that_ends_sharing_leaves_no_entry(vendor: Vendor) -> None:
    run = vendor.run().headers["Location"]
    asked = expired(vendor, f"{run}/share", vendor="Bravo Cloud", action="stop")
    assert "kept" not in asked.text and "then repeat the action" in asked.text
    assert sign_in_there(vendor, asked.text).headers["Location"] == run


@pytest.mark.parametrize(("length", "is_kept"), [(55_000, True), (70_000, False), (62_000, False)])
def test_what_is_too_long_for_the_sign_in_is_not_said_to_be_kept(vendor: Vendor, length: int, is_kept: bool) -> None:
    path = f"/clouds/{vendor.stored}/change"
    text = "x" * length
    asked = expired(vendor, path, label="A", options=text)
    assert (KEPT in asked.text) is is_kept and (text in asked.text) is is_kept
    if is_kept:
        assert text in sign_in_there(vendor, asked.text).text
        return
    assert "entries are too long to be kept here. Sign in in another tab, go back to the form" in asked.text
    old = "0" * 64
    assert sign_in_there(vendor, asked.text).status_code == 302
    # as from the form to which the user went back
    again = vendor.client.post(path, data={"form_key": old, "label": "A", "options": text}, headers=HERE)
    assert again.status_code == 403 and text in again.text and "submit again" in again.text


def test_no_action_is_mistaken_for_the_page_of_a_node(operator: Vendor) -> None:
    operator.ledger.queue.pause("op", "")
    page = expired(operator, "/fleet/resume").text
    assert sign_in_there(operator, page).headers["Location"] == "/fleet"


def test_a_cloud_is_stored_although_there_is_no_room_for_a_test(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(1, 1, f"{BUSY} Try again in a moment.")
    monkeypatch.setattr(cloud_check, "TURNS", turns)
    form = {"label": "Acme", "endpoint_v3": "http://127.0.0.1:1/v3", "test_user": "ann"}
    with turns.turn("another account"):
        for path in ("/clouds/new", f"/clouds/{vendor.stored}/change"):
            answer = vendor.send(path, **{**form, "label": path, "keep": "forget"})
            assert answer.status_code == 303, path
            shown = vendor.client.get(answer.headers["Location"]).text
            assert f"<strong>Saved, but not tested.</strong> {BUSY}" in shown and path in shown
        # a user who only asks for a test learns that there was none
        assert vendor.send(f"/clouds/{vendor.stored}/check").status_code == 429
    assert BUSY not in vendor.client.get(f"/clouds/{vendor.stored}").text


@pytest.mark.parametrize(
    ("path", "field", "longest"), [("/fleet/announce", "announcement", 500), ("/fleet/pause", "reason", 200)]
)
def test_what_operators_announce_is_not_lost(operator: Vendor, path: str, field: str, longest: int) -> None:
    for wrong in ("a long <text> " * 50, "bell \x07"):
        refused = operator.send(path, **{field: wrong})
        assert refused.status_code == 400 and field in errors(refused.text)
        assert html.escape(wrong) in refused.text
    assert operator.ledger.notices.current() is None and not operator.ledger.queue.is_paused()
    pasted = "Maintenance\u00a0from\r\n8:00 " + "x" * (longest - 22)
    assert operator.send(path, **{field: pasted}).status_code == 303
    assert "Maintenance from 8:00 xxx" in operator.client.get("/fleet").text


def test_an_announcement_that_is_emptied_stays_so_in_the_form(operator: Vendor) -> None:
    operator.send("/fleet/announce", announcement="first")
    assert 'value="first"' in operator.client.get("/fleet").text
    page = expired(operator, "/fleet/announce", announcement="").text
    assert 'name="announcement" maxlength="500" value=""' in sign_in_there(operator, page).text
    operator.send("/fleet/announce", announcement=" ")
    assert operator.ledger.notices.current() is None
