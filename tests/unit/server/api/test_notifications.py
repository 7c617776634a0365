from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from refstack_worker.config.notifications import NotifySettings
from refstack_worker.config.server import ServerSettings
from refstack_worker.gearman import Address
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.subscriptions import MAX_OF_VENDOR, NOT_OF_VENDOR
from refstack_worker.server.notify.messages import Composer
from refstack_worker.server.notify.notifier import Notifier
from tests.support.callers import Callers
from tests.support.http_server import Reply, Scripted, serving
from tests.support.ledgers import new_run
from tests.support.notifications import work


@pytest.fixture
def settings(settings: ServerSettings) -> ServerSettings:
    notify = NotifySettings(smtp_server=Address("mail.example", 25), hook_networks=(ip_network("127.0.0.0/8"),))
    return replace(settings, notify=notify)


@pytest.fixture
def callers(ledger: Ledger) -> Callers:
    return Callers(ledger)


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with serving() as script:
        script.on("/hook", Reply(200, b""))
        yield script


def webhook(receiver: Scripted, **given: Any) -> dict[str, Any]:
    return {"channel": "webhook", "target": f"{receiver.url}/hook", "kinds": ["run.ended"], **given}


def mail(address: str) -> dict[str, Any]:
    return {"channel": "mail", "target": address, "kinds": ["run.not_passed"]}


def test_a_webhook_from_the_first_call_to_the_log(callers: Callers, receiver: Scripted) -> None:
    made = callers.ann("POST", "/v1/notifications", webhook(receiver, scope="vendor", label="chat"))
    assert made.status_code == 201 and made.json["secret"].startswith("whsec_")
    path = f"/v1/notifications/{made.json['id']}"
    assert made.headers["Location"] == path
    shown = callers.ann("GET", path).json
    assert (shown["label"], shown["scope"], shown["paused"]) == ("chat", "vendor", False) and "secret" not in shown
    assert callers.ann("POST", f"{path}/test").status_code == 202
    callers.ledger.runs.cancel(callers.ledger.runs.add(new_run(owner_id=callers.abe.user_id)).test_id, "abe")
    work(Notifier(callers.ledger))
    log = callers.ann("GET", f"{path}/deliveries").json["deliveries"]
    assert [(one["kind"], one["state"], one["status"]) for one in log] == [
        ("run.ended", "accepted", 200),
        ("test", "accepted", 200),
    ]
    again = callers.ann("POST", f"{path}/secret").json["secret"]
    assert again.startswith("whsec_") and again != made.json["secret"]
    assert callers.ann("PUT", path, {"paused": True, "kinds": ["run.failing"]}).json["paused"]
    assert callers.ann("DELETE", path).status_code == 204
    assert callers.ann("GET", path).status_code == 404


def test_whose_is_which(callers: Callers, receiver: Scripted) -> None:
    number = callers.ann("POST", "/v1/notifications", webhook(receiver)).json["id"]
    path = f"/v1/notifications/{number}"
    assert callers.abe("GET", path).status_code == 200  # of the same vendor
    assert callers.operator("GET", path).status_code == 200
    for method, where in (("GET", path), ("DELETE", path), ("POST", f"{path}/test"), ("GET", f"{path}/deliveries")):
        assert callers.bob(method, where).status_code == 404
    assert callers.bob("GET", "/v1/notifications").json["notifications"] == []
    assert callers.reader("DELETE", path).status_code == 403
    assert callers.reader("POST", "/v1/notifications", webhook(receiver)).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"channel": "webhook", "target": "https://10.1.2.3/hook", "kinds": ["run.ended"]}, "target"),
        ({"channel": "webhook", "target": "ftp://x.example/", "kinds": ["run.ended"]}, "target"),
        ({"channel": "webhook", "target": "https://u:p@x.example/", "kinds": ["run.ended"]}, "target"),
        ({"channel": "webhook", "target": "http://127.0.0.1/", "kinds": ["node.lost"]}, "kinds"),
        ({"channel": "webhook", "target": "http://127.0.0.1/", "kinds": []}, "kinds"),
        ({"channel": "mail", "target": "stranger@y.example", "kinds": ["run.ended"]}, "target"),
        ({"channel": "mail", "target": "nobody", "kinds": ["run.ended"]}, "target"),
        ({"channel": "pigeon", "target": "x", "kinds": ["run.ended"]}, "channel"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(callers: Callers, body: dict[str, Any], field: str) -> None:
    refused = callers.ann("POST", "/v1/notifications", body)
    assert refused.status_code == 400 and refused.json["errors"][0]["field"] == field


def test_email_goes_to_ones_own_vendor_and_operators_choose_freely(callers: Callers) -> None:
    for address in ("ann@x.example", "abe@x.example", "desk@acme.example"):
        made = callers.ann("POST", "/v1/notifications", mail(address))
        assert made.status_code == 201 and made.json["secret"] is None
    assert callers.ann("POST", f"/v1/notifications/{made.json['id']}/secret").status_code == 409
    assert callers.ann("POST", "/v1/notifications", mail("bob@x.example")).status_code == 400
    made = callers.operator("POST", "/v1/notifications", {**mail("pager@ops.example"), "kinds": ["node.lost"]})
    assert made.status_code == 201 and made.json["scope"] == "all"


def test_without_a_mail_server_no_email_is_promised(callers: Callers) -> None:
    object.__setattr__(callers.ledger.settings.notify, "smtp_server", None)
    refused = callers.ann("POST", "/v1/notifications", mail("ann@x.example"))
    assert refused.status_code == 400 and "SMTP_SERVER" in refused.json["detail"]


def test_a_vendor_has_a_limit_of_its_own(callers: Callers, receiver: Scripted) -> None:
    for count in range(MAX_OF_VENDOR):
        who = (callers.ann, callers.abe)[count % 2]
        assert who("POST", "/v1/notifications", webhook(receiver)).status_code == 201
    assert callers.ann("POST", "/v1/notifications", webhook(receiver)).status_code == 409
    assert callers.bob("POST", "/v1/notifications", webhook(receiver)).status_code == 201


def test_names_that_no_one_resolves_hold_few_threads(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def never(*_: Any, **__: Any) -> Any:
        asked.set()
        answer.wait(20)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", never)
    wanted = {"channel": "webhook", "target": "https://slow.example/", "kinds": ["run.ended"]}
    held: list[int] = []
    first = threading.Thread(target=lambda: held.append(callers.ann("POST", "/v1/notifications", wanted).status_code))
    first.start()
    try:
        assert asked.wait(20)
        assert callers.ann("POST", "/v1/notifications", wanted).status_code == 429
    finally:
        answer.set()
        first.join()
    assert held == [400]


def test_email_ends_where_the_receiver_is_no_longer_of_the_vendor(callers: Callers) -> None:
    # such as a colleague who went to another vendor, and must not read on about the runs of the former one
    ledger = callers.ledger
    paths = [
        f"/v1/notifications/{callers.ann('POST', '/v1/notifications', mail(address)).json['id']}"
        for address in ("abe@x.example", "desk@acme.example", "ann@x.example")
    ]
    waiting, left = (ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id for _ in range(2))
    ledger.runs.cancel(waiting, "ann")
    ledger.deliveries.fan_out(Composer(ledger))
    bravo = ledger.accounts.user(callers.bob.user_id or 0).vendor_id
    assert callers.operator("PUT", f"/v1/users/{callers.abe.user_id}", {"vendor_id": bravo}).status_code == 200
    ledger.runs.cancel(left, "ann")
    receivers = [due.target for due in ledger.deliveries.take(10)]
    assert ledger.deliveries.fan_out(Composer(ledger)) == 1
    assert set(receivers) == {"desk@acme.example", "ann@x.example"}
    shown = [callers.ann("GET", path).json for path in paths]
    assert [one["paused"] for one in shown] == [True, False, False]
    assert shown[0]["problem"] == NOT_OF_VENDOR


def test_a_disabled_user_gets_no_email(callers: Callers) -> None:
    ledger = callers.ledger
    for who in (callers.ann, callers.abe):
        assert who("POST", "/v1/notifications", {**mail("abe@x.example"), "scope": "vendor"}).status_code == 201
    ledger.runs.cancel(ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id, "ann")
    ledger.deliveries.fan_out(Composer(ledger))
    assert callers.operator("PUT", f"/v1/users/{callers.abe.user_id}", {"disabled": True}).status_code == 200
    assert not ledger.deliveries.take(10)
    refused = callers.ann("POST", "/v1/notifications", mail("abe@x.example"))
    assert refused.status_code == 400 and "ann@x.example" in refused.json["detail"]
    # back again: what waited is sent
    assert callers.operator("PUT", f"/v1/users/{callers.abe.user_id}", {"disabled": False}).status_code == 200
    assert len(ledger.deliveries.take(10)) == 2
