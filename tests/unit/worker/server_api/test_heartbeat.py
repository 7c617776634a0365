from __future__ import annotations

import threading

import pytest

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.worker.attempt.stop_request import StopReason, StopRequest
from refstack_worker.worker.server_api import heartbeat as heartbeats
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt
from refstack_worker.worker.server_api.heartbeat import Heartbeat
from tests.support.http_server import Reply, Scripted, as_json
from tests.support.worker_parts import eventually

BEAT = "/worker/v1/runs/7/attempts/2/heartbeat"
GO = as_json({"order": "go", "heartbeat_seconds": 0.05})


def beating(claimed: ClaimedAttempt, link: ServerLinkSettings, patience: float = 60.0) -> tuple[Heartbeat, StopRequest]:
    stop_request = StopRequest()
    heartbeat = Heartbeat(AttemptApi(claimed, link), stop_request, 0.05, patience)
    heartbeat.start()
    return heartbeat, stop_request


def test_it_is_sent_until_it_is_stopped(claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.on(BEAT, GO)
    heartbeat, stop_request = beating(claimed, link)
    eventually(lambda: len(server.asked) > 3)
    heartbeat.stop()
    assert not heartbeat.is_alive() and stop_request.reason is None


def test_a_cancel_is_passed_on(claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.on(BEAT, GO, as_json({"order": "cancel", "reason": "vendor", "heartbeat_seconds": 0.05}))
    heartbeat, stop_request = beating(claimed, link)
    assert stop_request.requested.wait(10)
    heartbeat.stop()
    assert (stop_request.reason, stop_request.message) == (StopReason.CANCELLED, "vendor")


def test_a_refusal_means_stop_and_overrules_a_cancel(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, as_json({"error": "x", "reason": "superseded"}, 409))
    heartbeat, stop_request = beating(claimed, link)
    stop_request.make(StopReason.CANCELLED)
    eventually(lambda: stop_request.reason is StopReason.SUPERSEDED)
    heartbeat.stop()
    assert stop_request.message == "superseded"


def test_a_proxys_error_page_stops_nothing(claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    page = Reply(404, b"<html>gone</html>", {"Content-Type": "text/html"})
    server.on(BEAT, page, page, Reply(502, b"<html>"), Reply(cut=2), GO)
    heartbeat, stop_request = beating(claimed, link)
    eventually(lambda: len(server.asked) > 6)
    heartbeat.stop()
    assert stop_request.reason is None


def test_silence_beyond_patience_means_unreachable(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, Reply(500))
    heartbeat, stop_request = beating(claimed, link, patience=0.2)
    assert stop_request.requested.wait(10)
    heartbeat.stop()
    assert stop_request.reason is StopReason.UNREACHABLE


def test_stop_from_the_heartbeats_own_thread_does_not_wait_for_itself(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, as_json({"order": "stop", "heartbeat_seconds": 0.05}))
    stop_request = StopRequest()
    heartbeat = Heartbeat(AttemptApi(claimed, link), stop_request, 0.05, 60.0)
    stopped = threading.Event()
    stop_request.on_stop(lambda: (heartbeat.stop(), stopped.set()))
    heartbeat.start()
    assert stopped.wait(10)
    heartbeat.join(10)
    assert not heartbeat.is_alive()


FINISHED = as_json({"order": "stop", "reason": "finished", "heartbeat_seconds": 0.05})


def test_a_run_whose_result_is_accepted_may_end_by_itself(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, GO, FINISHED)
    heartbeat, stop_request = beating(claimed, link)
    eventually(lambda: len(server.asked) > 5)
    heartbeat.stop()
    assert stop_request.reason is None


def test_a_run_that_does_not_end_after_its_result_is_stopped(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "FINISHED_GRACE", 0.2)
    server.on(BEAT, FINISHED)
    heartbeat, stop_request = beating(claimed, link)
    assert stop_request.requested.wait(10)
    heartbeat.stop()
    assert (stop_request.reason, stop_request.message) == (StopReason.SUPERSEDED, "finished")
    assert len(server.asked) > 2


@pytest.mark.parametrize("reason", ["cancelled", "failed", "superseded", "claimed"])
def test_every_other_stop_counts_at_once(
    reason: str, claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(BEAT, as_json({"order": "stop", "reason": reason, "heartbeat_seconds": 30}))
    heartbeat, stop_request = beating(claimed, link)
    assert stop_request.requested.wait(10)
    heartbeat.stop()
    assert (stop_request.reason, stop_request.message) == (StopReason.SUPERSEDED, reason)
