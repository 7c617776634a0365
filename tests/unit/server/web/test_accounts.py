from __future__ import annotations

import pytest

from tests.support.callers import Browser, Callers
from tests.support.ledgers import new_run


@pytest.fixture
def browser(callers: Callers) -> Browser:
    return callers.operator.browser()


def test_a_vendor_is_changed_disabled_and_enabled(callers: Callers, browser: Browser) -> None:
    path = f"/vendors/{callers.acme}"
    assert browser.send(path, name="Acme <Inc>", max_open_runs="7").status_code == 303
    shown = browser.get(path).text
    assert "Acme &lt;Inc&gt;" in shown and 'value="7"' in shown
    refused = browser.send(path, name="", max_open_runs="many")
    assert refused.status_code == 400 and 'value="many"' in refused.text and "2 problems" in refused.text
    browser.send(f"{path}/disable", disabled="yes")
    assert "Its users" not in shown and "Disabled" in browser.get(path).text
    assert "disabled" in browser.get("/vendors").text
    assert callers.ann.browser().get("/runs").status_code == 302
    browser.send(f"{path}/disable", disabled="no")
    assert callers.ann.browser().get("/runs").status_code == 200


def test_a_user_is_moved_handed_over_and_removed(callers: Callers, browser: Browser) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    path = f"/users/{callers.ann.user_id}"
    assert browser.send(path, name="Ann", email="ann@y.example", vendor_id=callers.bravo).status_code == 303
    assert 'value="ann@y.example"' in browser.get(path).text
    refused = browser.send(f"{path}/remove")
    assert refused.status_code == 409 and "still owns a run" in refused.text
    browser.send(f"{path}/transfer", to_user_id=callers.bob.user_id)
    assert callers.ledger.runs.get(run).owner_id == callers.bob.user_id
    assert browser.send(f"{path}/remove").status_code == 303 and browser.get(path).status_code == 404


def test_an_address_that_another_user_has_is_refused_at_the_form(callers: Callers, browser: Browser) -> None:
    refused = browser.send(f"/users/{callers.ann.user_id}", name="Ann", email="bob@x.example")
    assert refused.status_code == 400 and "this name or address" in refused.text


def test_a_vendor_that_was_removed_meanwhile_leaves_the_form(callers: Callers, browser: Browser) -> None:
    entries = {"name": "Ann <kept>", "email": "ann@x.example", "vendor_id": "999"}
    for path, more in (
        (f"/users/{callers.ann.user_id}", entries),
        ("/vendors", {"kind": "user", "user_name": "Ann <kept>", "vendor_id": "999"}),
    ):
        refused = browser.send(path, **more)
        assert refused.status_code == 400 and "no vendor 999" in refused.text, path
        assert 'value="Ann &lt;kept&gt;"' in refused.text, path
    assert browser.send("/users/999", **entries).status_code == 404


def test_vendors_do_not_get_there(callers: Callers) -> None:
    browser = callers.ann.browser()
    for path in (f"/vendors/{callers.acme}", f"/users/{callers.ann.user_id}"):
        assert browser.get(path).status_code == 403
        for action in ("", "/disable", "/remove"):
            assert browser.send(path + action, name="x").status_code == 403


def test_a_run_is_pinned_and_an_ended_token_leaves_the_list(callers: Callers, browser: Browser) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    callers.ledger.runs.cancel(run, "ann")
    vendor = callers.ann.browser()
    assert "Delete" in vendor.get(f"/runs/{run}").text
    vendor.send(f"/runs/{run}/pin", pinned="yes")
    shown = vendor.get(f"/runs/{run}").text
    assert "Unpin" in shown and f"/runs/{run}/delete" not in shown
    number = callers.ledger.tokens.all()[0].id
    callers.ledger.tokens.revoke(number)
    assert f"/tokens/{number}/remove" in browser.get("/tokens").text
    assert browser.send(f"/tokens/{number}/remove").status_code == 303
    assert number not in [token.id for token in callers.ledger.tokens.all()]


def test_about_says_which_versions_and_why_the_queue_rests(callers: Callers, browser: Browser) -> None:
    callers.ledger.queue.pause("op", "new disks")
    assert "SQLAlchemy" in browser.get("/about").text
    shown = callers.ann.browser().get("/about").text
    assert "new disks" in shown and "revision" in shown and "SQLAlchemy" not in shown
