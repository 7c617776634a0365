from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.errors import StateError
from refstack_worker.server.domain.notifications import DueDelivery, Event, EventKind, Sent
from refstack_worker.server.ledger import deliveries
from refstack_worker.server.ledger.deliveries import BACK_OFF, KEPT_SECONDS, LEASE_SECONDS, MAX_FAILURES, Reader
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, new_run
from tests.support.notifications import finished, subscribe

MONTH = 30 * 86400.0
REFUSED = Sent(False, 500, "the receiver answered 500")


def to_all(event: Event, readers: Sequence[Reader]) -> dict[int, dict[str, Any]]:
    return {one.id: {"type": event.kind.value, "run": event.test_id} for one, _ in readers}


def ends(ledger: Ledger, count: int = 1) -> list[int]:
    return [ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me").test_id for _ in range(count)]


def one_due(ledger: Ledger) -> DueDelivery:
    (due,) = ledger.deliveries.take(9)
    return due


def test_an_event_makes_one_message_for_each_subscriber(ledger: Ledger) -> None:
    one, other = subscribe(ledger).id, subscribe(ledger).id
    (run,) = ends(ledger)
    assert ledger.deliveries.fan_out(to_all) == 1
    assert ledger.deliveries.fan_out(to_all) == 0
    assert [len(ledger.deliveries.of(number)) for number in (one, other)] == [1, 1]
    due = ledger.deliveries.take(9)
    assert [message.body for message in due] == [{"type": "run.ended", "run": run}] * 2
    assert due[0].secret.startswith("whsec_") and due[0].message_id != due[1].message_id


def test_monitors_that_look_at_once_make_each_message_once(ledger: Ledger) -> None:
    number = subscribe(ledger).id
    ends(ledger, 30)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ledger.deliveries.fan_out(to_all, 7), range(12)))
    assert ledger.deliveries.fan_out(to_all) == 0
    assert sorted(one.test_id or 0 for one in ledger.deliveries.of(number)) == list(range(1, 31))


def test_nobody_else_takes_what_is_being_sent(ledger: Ledger, clock: Clock) -> None:
    subscribe(ledger)
    ends(ledger)
    ledger.deliveries.fan_out(to_all)
    first = one_due(ledger)
    assert ledger.deliveries.take(9) == []
    clock.forward(LEASE_SECONDS + 1)  # the sender died
    assert one_due(ledger).message_id == first.message_id


def test_what_is_refused_is_tried_again_later_and_given_up_in_the_end(ledger: Ledger, clock: Clock) -> None:
    number = subscribe(ledger).id
    ends(ledger)
    ledger.deliveries.fan_out(to_all)
    for seconds in BACK_OFF:
        ledger.deliveries.note(one_due(ledger).id, REFUSED)
        clock.forward(seconds - 1)
        assert ledger.deliveries.take(9) == []
        clock.forward(1)
    ledger.deliveries.note(one_due(ledger).id, REFUSED)
    clock.forward(10 * max(BACK_OFF))
    assert ledger.deliveries.take(9) == []
    (log,) = ledger.deliveries.of(number)
    assert (log.is_open, log.tries, log.status, log.error) == (False, len(BACK_OFF) + 1, 500, REFUSED.error)
    assert ledger.deliveries.counts() == {"waiting": 0, "accepted": 0, "given-up": 1}


def test_what_is_accepted_is_over(ledger: Ledger) -> None:
    number = subscribe(ledger).id
    ends(ledger)
    ledger.deliveries.fan_out(to_all)
    due = one_due(ledger)
    ledger.deliveries.note(due.id, Sent(True, 204))
    ledger.deliveries.note(due.id, REFUSED)  # late news of a sender whose lease had ended
    (log,) = ledger.deliveries.of(number)
    assert (log.is_open, log.tries, log.status, log.error) == (False, 1, 204, "")


def test_a_receiver_that_never_accepts_is_left_alone(ledger: Ledger) -> None:
    number = subscribe(ledger).id
    for count in range(MAX_FAILURES):
        assert not ledger.subscriptions.get(number).paused_at, count
        ends(ledger)
        ledger.deliveries.fan_out(to_all)
        ledger.deliveries.note(one_due(ledger).id, Sent(False, 550, "no such user", is_final=True))
    stopped = ledger.subscriptions.get(number)
    assert stopped.paused_at and stopped.problem == "not delivered: no such user"
    ends(ledger)
    ledger.deliveries.fan_out(to_all)
    assert ledger.deliveries.take(9) == [] and len(ledger.deliveries.of(number)) == MAX_FAILURES
    ledger.subscriptions.resume(number)
    assert ledger.subscriptions.get(number).problem == ""


def test_a_receiver_that_says_it_is_gone_is_left_alone_at_once(ledger: Ledger) -> None:
    number = subscribe(ledger).id
    ends(ledger)
    ledger.deliveries.fan_out(to_all)
    ledger.deliveries.note(one_due(ledger).id, Sent(False, 410, "gone", is_gone=True))
    assert ledger.subscriptions.get(number).paused_at


def test_one_vendor_cannot_keep_the_others_waiting(ledger: Ledger) -> None:
    vendors = [ledger.accounts.add_vendor(name).id for name in ("a", "b")]
    users = [ledger.accounts.add_user(f"u{n}", f"u{n}@x", vendors[n]).id for n in (0, 1)]
    for _ in range(4):
        subscribe(ledger, owner_id=users[0])
    subscribe(ledger, owner_id=users[1])
    ends(ledger, 3)
    ledger.deliveries.fan_out(to_all)
    first = ledger.deliveries.take(4)
    assert len(first) == 4 and len({one.message_id.split("_")[1] for one in first}) == 3
    # those of the first vendor under way still count
    assert len(ledger.deliveries.take(9)) == 0
    ledger.deliveries.note(first[0].id, Sent(True, 200))
    assert len(ledger.deliveries.take(9)) == 1


def test_a_vendor_with_a_thousand_waiting_messages_hides_nobody_elses(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_WAITING", 5)
    users = [ledger.accounts.add_user(name, f"{name}@x", ledger.accounts.add_vendor(name).id).id for name in "ab"]
    for _ in range(3):
        subscribe(ledger, owner_id=users[0])
    ends(ledger, 2)
    ledger.deliveries.fan_out(to_all)
    clock.forward(1)
    ledger.deliveries.add_test(subscribe(ledger, owner_id=users[1]).id, {"type": "test"})
    assert [one.body["type"] for one in ledger.deliveries.take(9)] == ["run.ended", "run.ended", "test"]


def test_few_test_messages_wait(ledger: Ledger) -> None:
    number = subscribe(ledger).id
    for _ in range(deliveries.MAX_TESTS):
        ledger.deliveries.add_test(number, {"type": "test"})
    with pytest.raises(StateError):
        ledger.deliveries.add_test(number, {"type": "test"})
    ledger.deliveries.note(ledger.deliveries.take(9)[0].id, Sent(True, 200))
    ledger.deliveries.add_test(number, {"type": "test"})


def test_messages_that_pile_up_are_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_WAITING", 2)
    number = subscribe(ledger).id
    ends(ledger, 4)
    ledger.deliveries.fan_out(to_all)
    log = ledger.deliveries.of(number)
    assert [one.is_open for one in log] == [False, False, True, True]
    assert log[0].error == "not sent: 2 messages waited already"


def test_a_test_message_goes_out_also_while_paused_and_once(ledger: Ledger, clock: Clock) -> None:
    number = subscribe(ledger).id
    ledger.subscriptions.pause(number)
    ledger.deliveries.add_test(number, {"type": "test"})
    ledger.deliveries.note(one_due(ledger).id, REFUSED)
    clock.forward(10 * max(BACK_OFF))
    assert ledger.deliveries.take(9) == []
    assert [(one.kind, one.error) for one in ledger.deliveries.of(number)] == [(EventKind.TEST, REFUSED.error)]


def test_the_log_goes_with_age_and_with_the_run(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    number = subscribe(ledger).id
    run = finished(ledger, tmp_path)
    (kept,) = ends(ledger)
    ledger.deliveries.fan_out(to_all)
    ledger.retention.delete(run)
    assert [one.test_id for one in ledger.deliveries.of(number)] == [kept]
    ledger.deliveries.note(one_due(ledger).id, Sent(True, 200))
    ledger.deliveries.prune()
    assert ledger.deliveries.of(number)
    clock.forward(KEPT_SECONDS + 1)
    ledger.deliveries.prune()
    assert ledger.deliveries.of(number) == []


class TestClockThatWasAhead:
    @pytest.mark.parametrize("what", ["made", "taken", "refused"])
    def test_messages_of_then_are_sent(self, ledger: Ledger, clock: Clock, what: str) -> None:
        subscribe(ledger)
        ends(ledger)
        clock.forward(MONTH)
        ledger.deliveries.fan_out(to_all)
        if what != "made":
            due = one_due(ledger)
            if what == "refused":
                ledger.deliveries.note(due.id, REFUSED)
        clock.forward(-MONTH)
        assert ledger.deliveries.pull_back() == 1 and ledger.deliveries.pull_back() == 0
        one_due(ledger)

    def test_those_of_now_wait_as_before(self, ledger: Ledger, clock: Clock) -> None:
        subscribe(ledger)
        ends(ledger)
        ledger.deliveries.fan_out(to_all)
        for _ in BACK_OFF:
            due = one_due(ledger)
            assert ledger.deliveries.pull_back() == 0
            ledger.deliveries.note(due.id, REFUSED)
            assert ledger.deliveries.pull_back() == 0
            clock.forward(max(BACK_OFF))
