from __future__ import annotations

import threading

import pytest

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.worker.server_api import heartbeat
from refstack_worker.worker.server_api.attempts import ClaimedAttempt, Reporter
from refstack_worker.worker.server_api.heartbeat import Heart, Order, OrderBook
from tests.support.http_server import Reply, Scripted, as_json
from tests.support.worker_parts import eventually

BEAT = "/worker/v1/runs/7/attempts/2/heartbeat"
GO = as_json({"order": "go", "heartbeat_seconds": 0.05})


def beating(held: ClaimedAttempt, link: ServerLinkSettings, patience: float = 60.0) -> tuple[Heart, OrderBook]:
    orders = OrderBook()
    heart = Heart(Reporter(held, link), orders, 0.05, patience)
    heart.start()
    return heart, orders


def test_it_beats_until_it_is_stopped(held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.on(BEAT, GO)
    heart, orders = beating(held, link)
    eventually(lambda: len(server.asked) > 3)
    heart.stop()
    assert not heart.is_alive() and orders.order is None


def test_a_cancel_is_passed_on(held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.on(BEAT, GO, as_json({"order": "cancel", "reason": "vendor", "heartbeat_seconds": 0.05}))
    heart, orders = beating(held, link)
    assert orders.given.wait(10)
    heart.stop()
    assert (orders.order, orders.reason) == (Order.CANCEL, "vendor")


def test_a_refusal_means_stop_and_overrules_a_cancel(
    held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, as_json({"error": "x", "reason": "superseded"}, 409))
    heart, orders = beating(held, link)
    orders.give(Order.CANCEL)
    eventually(lambda: orders.order is Order.STOP)
    heart.stop()
    assert orders.reason == "superseded"


def test_a_proxys_error_page_stops_nothing(held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    page = Reply(404, b"<html>gone</html>", {"Content-Type": "text/html"})
    server.on(BEAT, page, page, Reply(502, b"<html>"), Reply(cut=2), GO)
    heart, orders = beating(held, link)
    eventually(lambda: len(server.asked) > 6)
    heart.stop()
    assert orders.order is None


def test_silence_beyond_patience_means_lost(held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.on(BEAT, Reply(500))
    heart, orders = beating(held, link, patience=0.2)
    assert orders.given.wait(10)
    heart.stop()
    assert orders.order is Order.LOST


def test_the_first_order_counts_and_late_listeners_hear_it() -> None:
    orders = OrderBook()
    heard = []
    orders.on_order(lambda: heard.append("early"))
    orders.give(Order.CANCEL)
    orders.give(Order.HAND_BACK)
    orders.on_order(lambda: heard.append("late"))
    assert orders.order is Order.CANCEL and orders.hurried.is_set()
    assert heard == ["early", "late"]


def test_stop_from_the_hearts_own_thread_does_not_wait_for_itself(
    held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, as_json({"order": "stop", "heartbeat_seconds": 0.05}))
    orders = OrderBook()
    heart = Heart(Reporter(held, link), orders, 0.05, 60.0)
    stopped = threading.Event()
    orders.on_order(lambda: (heart.stop(), stopped.set()))
    heart.start()
    assert stopped.wait(10)
    heart.join(10)
    assert not heart.is_alive()


FINISHED = as_json({"order": "stop", "reason": "finished", "heartbeat_seconds": 0.05})


def test_a_run_whose_result_is_accepted_may_end_by_itself(
    held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, GO, FINISHED)
    heart, orders = beating(held, link)
    eventually(lambda: len(server.asked) > 5)
    heart.stop()
    assert orders.order is None


def test_a_run_that_does_not_end_after_its_result_is_stopped(
    held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "FINISHED_GRACE", 0.2)
    server.on(BEAT, FINISHED)
    heart, orders = beating(held, link)
    assert orders.given.wait(10)
    heart.stop()
    assert (orders.order, orders.reason) == (Order.STOP, "finished")
    assert len(server.asked) > 2


@pytest.mark.parametrize("reason", ["cancelled", "failed", "superseded", "claimed"])
def test_every_other_stop_counts_at_once(
    reason: str, held: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, as_json({"order": "stop", "reason": reason, "heartbeat_seconds": 30}))
    heart, orders = beating(held, link)
    assert orders.given.wait(10)
    heart.stop()
    assert (orders.order, orders.reason) == (Order.STOP, reason)
