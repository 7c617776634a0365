"""Messages reach a real receiver over HTTP, signed, and again when it was not ready."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from refstack_worker.config.notifications import NotifySettings
from refstack_worker.config.server import ServerSettings
from refstack_worker.server.domain.notifications import MessageChannel, Subscription
from refstack_worker.server.ledger.deliveries import BACK_OFF
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify import signature
from refstack_worker.server.notify.notifier import Notifier
from tests.support.http_server import Reply, Scripted, serving
from tests.support.ledgers import Clock, new_run
from tests.support.notifications import subscribe, work

SECRET = signature.new_secret()


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with serving() as script:
        script.on("/hook", Reply(204, b""))
        yield script


@pytest.fixture
def settings(settings: ServerSettings) -> ServerSettings:
    return replace(settings, notify=NotifySettings(hook_networks=(ip_network("127.0.0.0/8"),)))


@pytest.fixture
def webhook(ledger: Ledger, receiver: Scripted) -> Subscription:
    return subscribe(ledger, target=f"{receiver.url}/hook", secret=SECRET)


@pytest.fixture
def notifier(ledger: Ledger) -> Notifier:
    return Notifier(ledger)


def end_a_run(ledger: Ledger) -> int:
    return ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me").test_id


def test_a_receiver_gets_a_signed_message_once(
    ledger: Ledger, receiver: Scripted, webhook: Subscription, notifier: Notifier
) -> None:
    test_id = end_a_run(ledger)
    assert work(notifier) == 1 and work(notifier) == 0
    (asked,) = receiver.asked
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert asked.method == "POST" and headers["content-type"] == "application/json"
    assert signature.is_signed(SECRET, headers, asked.body)
    assert json.loads(asked.body)["data"]["run"]["test_id"] == test_id
    (log,) = ledger.deliveries.of(webhook.id)
    assert (log.is_open, log.status, log.error) == (False, 204, "")


def test_a_receiver_that_was_down_gets_the_same_message_later(
    ledger: Ledger, clock: Clock, receiver: Scripted, webhook: Subscription, notifier: Notifier
) -> None:
    receiver.on("/hook", Reply(503, b"busy"), Reply(200, b""))
    end_a_run(ledger)
    work(notifier)
    assert ledger.deliveries.of(webhook.id)[0].error == "the receiver answered 503"
    clock.forward(BACK_OFF[0])
    work(notifier)
    first, second = receiver.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    assert ledger.deliveries.of(webhook.id)[0].error == ""


def test_redirects_are_not_followed(
    ledger: Ledger, receiver: Scripted, webhook: Subscription, notifier: Notifier
) -> None:
    receiver.on("/hook", Reply(302, b"", {"Location": f"{receiver.url}/other"}))
    end_a_run(ledger)
    work(notifier)
    assert [asked.path for asked in receiver.asked] == ["/hook"]
    assert ledger.deliveries.of(webhook.id)[0].status == 302


def test_private_addresses_are_not_asked(
    ledger: Ledger, receiver: Scripted, webhook: Subscription, notifier: Notifier
) -> None:
    object.__setattr__(ledger.settings.notify, "hook_networks", ())
    end_a_run(ledger)
    work(notifier)
    assert receiver.asked == []
    assert "HOOK_NETWORKS" in ledger.deliveries.of(webhook.id)[0].error


def test_a_secret_that_cannot_be_opened_sends_nothing_unsigned(
    ledger: Ledger, receiver: Scripted, webhook: Subscription, notifier: Notifier
) -> None:
    ledger.subscriptions.change(webhook.id, sealed_secret="x")
    end_a_run(ledger)
    work(notifier)
    assert receiver.asked == [] and "make a new one" in ledger.deliveries.of(webhook.id)[0].error


def test_without_a_mail_server_the_log_says_so(ledger: Ledger, notifier: Notifier) -> None:
    number = subscribe(ledger, channel=MessageChannel.MAIL, target="a@x.example", secret="").id
    end_a_run(ledger)
    work(notifier)
    assert "SMTP_SERVER" in ledger.deliveries.of(number)[0].error


def test_the_path_of_a_receiver_which_may_be_its_secret_is_in_no_error_and_no_log(
    ledger: Ledger, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    """As with Slack, Discord and Teams."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    target = f"http://127.0.0.1:{port}/services/T01/B02/s3cret-of-the-hook?key=s3cret-too"
    number = subscribe(ledger, target=target, secret=SECRET).id
    end_a_run(ledger)
    assert work(notifier) == 1
    (log,) = ledger.deliveries.of(number)
    assert f"http://127.0.0.1:{port}: no answer" in log.error
    assert "s3cret" not in log.error + caplog.text
