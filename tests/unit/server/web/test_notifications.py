from __future__ import annotations

import re
from dataclasses import replace

import pytest

from refstack_worker.config.notifications import NotifySettings
from refstack_worker.config.server import ServerSettings
from refstack_worker.gearman import Address
from refstack_worker.server.domain.notifications import Sent
from tests.support.callers import Callers
from tests.support.notifications import subscribe


@pytest.fixture
def settings(settings: ServerSettings) -> ServerSettings:
    return replace(settings, notify=NotifySettings(smtp_server=Address("mail.example", 25)))


def test_a_webhook_is_added_its_secret_shown_once_and_its_log_read(callers: Callers) -> None:
    browser = callers.ann.browser()
    # an address of documentation, which needs no resolver
    form = {"channel": "webhook", "url": "https://1.1.1.1/hook", "kinds": ["run.ended", "run.waiting"]}
    added = browser.send("/notifications", **form, scope="vendor", label="chat")
    assert added.status_code == 200 and re.search("whsec_[^<]+", added.text)
    listed = browser.get("/notifications").text
    assert "whsec_" not in listed and "chat" in listed and "A run cannot start" in listed
    assert browser.send("/notifications/1/test").status_code == 303
    assert "Being sent" in browser.get("/notifications/1").text
    (due,) = callers.ledger.deliveries.take(9)
    callers.ledger.deliveries.note(due.id, Sent(False, 500, "the receiver answered 500"))
    shown = browser.get("/notifications/1").text
    assert "Given up" in shown and "the receiver answered 500" in shown
    assert browser.send("/notifications/1/pause", paused="yes").status_code == 303
    assert "Paused" in browser.get("/notifications/1").text
    assert "whsec_" in browser.send("/notifications/1/secret").text
    browser.send("/notifications/1/delete")
    assert "No notifications yet" in browser.get("/notifications").text


def test_what_was_typed_stays_when_something_is_wrong(callers: Callers) -> None:
    form = {"channel": "webhook", "url": "http://10.0.0.1/hook", "label": "chat"}
    refused = callers.ann.browser().send("/notifications", **form, kinds=["run.failing"])
    assert refused.status_code == 400 and "private address" in refused.text and "HOOK_NETWORKS" in refused.text
    assert 'value="http://10.0.0.1/hook"' in refused.text and 'value="chat"' in refused.text
    assert re.search('value="run.failing" checked', refused.text)


def test_an_address_is_chosen_among_the_vendors(callers: Callers) -> None:
    page = callers.ann.browser().get("/notifications").text
    assert re.findall("<option[^>]*>([^<]+@[^<]+)</option>", page) == [
        "ann@x.example",
        "abe@x.example",
        "desk@acme.example",
    ]
    assert "A node stopped reporting" not in page
    assert "A node stopped reporting" in callers.operator.browser().get("/notifications").text


def test_others_do_not_see_it_and_readers_change_nothing(callers: Callers) -> None:
    number = subscribe(callers.ledger, owner_id=callers.ann.user_id).id
    assert callers.bob.browser().get(f"/notifications/{number}").status_code == 404
    assert callers.bob.browser().send(f"/notifications/{number}/delete").status_code == 404
    reader = callers.reader.browser()
    assert "Send test message" not in reader.get(f"/notifications/{number}").text
    assert reader.send(f"/notifications/{number}/test").status_code == 403


def test_a_stopped_one_says_why(callers: Callers) -> None:
    number = subscribe(callers.ledger, owner_id=callers.ann.user_id).id
    callers.ledger.subscriptions.change(number, paused_at=1.0, problem="not delivered: <b>no</b>")
    for path in ("/notifications", f"/notifications/{number}"):
        assert "Stopped: not delivered: &lt;b&gt;no&lt;/b&gt;" in callers.ann.browser().get(path).text
