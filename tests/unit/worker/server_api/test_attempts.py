from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.http import retry
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt
from tests.support.http_server import HTML, Reply, Scripted, as_json

CLAIM = "/worker/v1/runs/7/attempts/2/claim"
BEAT = "/worker/v1/runs/7/attempts/2/heartbeat"
STATUS = "/update-test-status/"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retry.retrying.__kwdefaults__, "first_pause", 0.01)


@pytest.fixture
def api(claimed: ClaimedAttempt, link: ServerLinkSettings) -> AttemptApi:
    return AttemptApi(claimed, link)


def test_a_claim_shows_the_proof_and_nothing_of_the_payload(api: AttemptApi, server: Scripted) -> None:
    server.on(CLAIM, as_json({"heartbeat_seconds": 1.5, "state": "claimed"}))
    assert api.claim(threading.Event()) == 1.5
    (asked,) = server.asked
    assert asked.headers["Authorization"] == f"Bearer {api.claimed.token}"
    assert json.loads(asked.body) == {"claim": "c" * 32, "worker": "node-1", "tempest_version": "47.0.0"}


def test_a_claim_names_the_lock_of_its_environment(api: AttemptApi, server: Scripted) -> None:
    server.on(CLAIM, as_json({"heartbeat_seconds": 1.5, "state": "claimed"}))
    api.claim(threading.Event(), "ab" * 32)
    assert json.loads(server.asked[0].body)["lock"] == "ab" * 32


def test_a_netrc_does_not_override_the_proof(
    api: AttemptApi, server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.on(CLAIM, as_json({}))
    api.claim(threading.Event())
    assert server.asked[0].headers["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("reason", ["claimed", "superseded", "finished", "cancelled", "paused"])
def test_a_refused_claim_carries_the_servers_reason(api: AttemptApi, server: Scripted, reason: str) -> None:
    server.on(CLAIM, as_json({"error": "no", "reason": reason}, 409))
    with pytest.raises(RefusedError) as caught:
        api.claim(threading.Event())
    assert caught.value.reason == reason
    assert len(server.asked) == 1, "a no is a no"


def test_what_fails_for_a_while_is_tried_again(api: AttemptApi, server: Scripted) -> None:
    server.on(
        CLAIM, Reply(500), HTML, Reply(503, b"<html>"), Reply(404, b"not JSON"), Reply(cut=3), Reply(429, b"{}"),
        as_json({"heartbeat_seconds": 2}),
    )  # fmt: skip
    assert api.claim(threading.Event()) == 2.0
    assert len(server.asked) == 7


def test_a_redirect_is_never_followed(api: AttemptApi, server: Scripted) -> None:
    server.on(CLAIM, Reply(302, b"", {"Location": f"{server.url}/elsewhere"}))
    with pytest.raises(ServerError, match="response 302"):
        AttemptApi(api.claimed, ServerLinkSettings(patience=0.0)).claim(threading.Event())
    assert {asked.path for asked in server.asked} == {CLAIM}


def test_patience_ends(claimed: ClaimedAttempt, server: Scripted) -> None:
    server.on(STATUS, Reply(500))
    with pytest.raises(ServerError, match="response 500"):
        AttemptApi(claimed, ServerLinkSettings(patience=0.2)).report(Report(RunState.RUNNING))
    assert len(server.asked) > 1


def test_giving_up_ends_the_wait_at_once(
    claimed: ClaimedAttempt, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(retry.retrying.__kwdefaults__, "first_pause", 600.0)
    monkeypatch.setitem(retry.retrying.__kwdefaults__, "max_pause", 600.0)
    server.on(CLAIM, Reply(500))
    given_up = threading.Event()
    threading.Timer(0.1, given_up.set).start()
    with pytest.raises(ServerError):
        AttemptApi(claimed, ServerLinkSettings(patience=900.0)).claim(given_up)


def test_a_heartbeat_brings_orders(api: AttemptApi, server: Scripted) -> None:
    server.on(BEAT, as_json({"order": "cancel", "reason": "vendor", "heartbeat_seconds": 0.5}))
    answer = api.heartbeat(Progress(total=3, done=1))
    assert (answer.reply, answer.reason, answer.heartbeat_seconds) == (HeartbeatReply.CANCEL, "vendor", 0.5)
    assert json.loads(server.asked[0].body)["progress"]["total"] == 3


@pytest.mark.parametrize("answer", [{}, {"order": "jump"}, {"order": 3}])
def test_an_answer_without_an_order_is_no_answer(api: AttemptApi, server: Scripted, answer: object) -> None:
    server.on(BEAT, as_json(answer))
    with pytest.raises(ServerError, match="unknown instruction"):
        api.heartbeat(Progress())


@pytest.mark.parametrize(
    ("said", "taken"), [(0, 0.05), (-3, 0.05), (10**9, 600.0), ("x", 2.0), (True, 2.0), (None, 2.0)]
)
def test_a_nonsensical_pace_is_bounded(api: AttemptApi, server: Scripted, said: object, taken: float) -> None:
    server.on(BEAT, as_json({"order": "go", "heartbeat_seconds": said}))
    assert api.heartbeat(Progress()).heartbeat_seconds == taken


def test_a_report_carries_the_payload_as_it_came_and_one_clean_line(api: AttemptApi, server: Scripted) -> None:
    server.on(STATUS, Reply(202))
    api.report(Report(RunState.FAILED, "two\nlines\x1b[0m", "cloud"))
    body = json.loads(server.asked[0].body)
    assert body["payload"] == api.claimed.envelope.decode()
    assert body["message"] == "two lines [0m"
    assert (body["test_id"], body["attempt"], body["worker"]) == (7, 2, "node-1")
    assert (body["status"], body["reason"]) == ("failed", "cloud")
    assert api.claimed.payload.secret not in server.asked[0].body.decode()


def test_a_huge_answer_is_not_read(api: AttemptApi, server: Scripted) -> None:
    server.on(BEAT, Reply(200, b'{"order": "go", "x": "' + b"y" * (1 << 20) + b'"}'))
    with pytest.raises(ServerError):
        api.heartbeat(Progress())


@pytest.mark.parametrize(("pause", "is_kept"), [(2.0, True), (10.0, False)])
def test_a_connection_is_not_held_open_between_rare_heartbeats(
    api: AttemptApi, server: Scripted, pause: float, is_kept: bool
) -> None:
    server.on(CLAIM, as_json({"heartbeat_seconds": pause}))
    body = json.dumps({"order": "go", "heartbeat_seconds": pause}).encode()
    server.on(BEAT, Reply(200, body, lingers=True))
    api.claim(threading.Event())
    for _ in range(2):
        api.heartbeat(Progress())
    claim, beat, later = server.asked
    assert claim.headers["Connection"] == "keep-alive", "reports follow at once"
    assert (beat.headers["Connection"] == "keep-alive") is is_kept
    assert (beat.port == later.port) is is_kept, "one that the server is about to close must not be used"
