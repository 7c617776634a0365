from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.notifications import DueDelivery, EventKind, MessageChannel, SubscriptionScope
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify import mail
from refstack_worker.server.notify.messages import Composer
from tests.support.ledgers import PASSWORD, Clock
from tests.support.notifications import failed, finished, subscribe


class Users:
    """Two users of one vendor, and one of another."""

    def __init__(self, ledger: Ledger) -> None:
        first, second = (ledger.accounts.add_vendor(name).id for name in ("Acme", "Bravo"))
        self.ann, self.abe, self.bob = (
            ledger.accounts.add_user(name, f"{name}@x.example", vendor).id
            for name, vendor in (("ann", first), ("abe", first), ("bob", second))
        )


@pytest.fixture
def users(ledger: Ledger) -> Users:
    return Users(ledger)


def told(ledger: Ledger) -> dict[int, list[str]]:
    """Return for each subscription the kinds of messages that it gets."""
    ledger.deliveries.fan_out(Composer(ledger))
    return {
        one.id: [message.kind.value for message in reversed(ledger.deliveries.of(one.id))]
        for one in ledger.subscriptions.all()
    }


def test_who_hears_of_whose_runs(ledger: Ledger, users: Users, tmp_path: Path) -> None:
    own = subscribe(ledger, owner_id=users.ann).id
    team = subscribe(ledger, owner_id=users.ann, scope=SubscriptionScope.VENDOR).id
    other = subscribe(ledger, owner_id=users.bob, scope=SubscriptionScope.VENDOR).id
    operators = subscribe(ledger).id
    for owner in (users.ann, users.abe, None):
        finished(ledger, tmp_path, owner_id=owner)
    counts = {number: len(kinds) for number, kinds in told(ledger).items()}
    assert counts == {own: 1, team: 2, other: 0, operators: 3}


def test_which_ends_a_subscriber_hears_of(ledger: Ledger, tmp_path: Path) -> None:
    every, bad, both = (
        subscribe(ledger, *kinds).id
        for kinds in (
            (EventKind.RUN_ENDED,),
            (EventKind.RUN_NOT_PASSED,),
            (EventKind.RUN_ENDED, EventKind.RUN_NOT_PASSED),
        )
    )
    finished(ledger, tmp_path, "success", "skip")
    finished(ledger, tmp_path, "success", "fail")
    failed(ledger)
    assert {number: len(kinds) for number, kinds in told(ledger).items()} == {every: 3, bad: 2, both: 3}


def test_a_lost_node_is_the_operators_business(ledger: Ledger, clock: Clock, users: Users) -> None:
    operators = subscribe(ledger, EventKind.NODE_LOST).id
    # the service refuses it; this row was made otherwise
    vendors = subscribe(ledger, EventKind.NODE_LOST, owner_id=users.ann).id
    node = Node("node 7", seen_at=clock())
    clock.forward(300)
    ledger.events.node_lost(node)
    assert told(ledger) == {operators: ["node.lost"], vendors: []}
    (due,) = ledger.deliveries.take(9)
    assert due.body["data"]["node"] == {"name": "node 7", "last_seen": "2027-01-15T08:00:00.000Z"}
    assert mail.subject_of(due.body) == "RefStack: node node 7 has stopped reporting"


def body_of(ledger: Ledger) -> DueDelivery:
    ledger.deliveries.fan_out(Composer(ledger))
    (due,) = ledger.deliveries.take(9)
    return due


def test_a_message_says_what_became_of_the_run(ledger: Ledger, users: Users, tmp_path: Path) -> None:
    subscribe(ledger)
    test_id = finished(ledger, tmp_path, "fail", "success", label="nightly", owner_id=users.ann)
    due = body_of(ledger)
    run = due.body["data"]["run"]
    assert due.body["type"] == "run.ended" and due.body["timestamp"].endswith("Z")
    assert (run["test_id"], run["state"], run["result"]) == (test_id, "finished", "tests-failed")
    assert run["counts"] == {"passed": 1, "failed": 1, "skipped": 0} and run["owner"] == "ann, Acme"
    assert due.body["data"]["url"] == f"http://127.0.0.1:8000/runs/{test_id}"
    assert PASSWORD not in str(due.body)


def test_an_email_can_be_read_and_comes_from_one_message(ledger: Ledger) -> None:
    subscribe(ledger, channel=MessageChannel.MAIL, target="ops@x.example")
    test_id = failed(ledger, label="nightly")
    message = mail.message_of(body_of(ledger), "RefStack <refstack@x.example>", 1_800_000_000)
    assert message["Subject"] == f"RefStack: run {test_id} (nightly): error"
    assert message["To"] == "ops@x.example" and message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<msg_1_1@x.example>"
    text = message.get_content()
    assert "Reason: cloud" in text and "no such image" in text
    assert f"http://127.0.0.1:8000/runs/{test_id}\n" in text


def test_a_label_cannot_add_headers_or_lines(ledger: Ledger, tmp_path: Path) -> None:
    subscribe(ledger, channel=MessageChannel.MAIL, target="ops@x.example")
    finished(ledger, tmp_path, label="a\r\nBcc: victim@x.example\n\nhello \u202e")
    message = mail.message_of(body_of(ledger), "refstack@x.example", 0)
    assert message["Bcc"] is None and "\n" not in message["Subject"]


def test_an_imported_result_is_no_news(ledger: Ledger, tmp_path: Path) -> None:
    subscribe(ledger)
    finished(ledger, tmp_path, kind="imported")
    assert list(told(ledger).values()) == [[]]
