from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.contract.console import MAX_BATCH, MAX_BATCH_BYTES, RequestLine, TestLine
from refstack_worker.worker.server_api import console
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt
from refstack_worker.worker.server_api.console import ConsoleSender
from tests.support.http_server import Asked, Reply, Scripted, as_json
from tests.support.worker_parts import eventually

PATH = "/worker/v1/runs/7/attempts/2/console"


class Keeper:
    """A server that keeps the lines, as it must: by number, each once."""

    def __init__(self, limit: int = 10**9) -> None:
        self.lines: list[dict[str, Any]] = []
        self.dropped = 0
        self.fail_after_taking = 0
        self.limit = limit

    def __call__(self, asked: Asked) -> Reply:
        body = json.loads(asked.body)
        assert len(asked.body) <= MAX_BATCH_BYTES and len(body["lines"]) <= MAX_BATCH
        assert body["first"] <= len(self.lines), "a hole"
        self.lines += body["lines"][len(self.lines) - body["first"] :]
        self.dropped = body["dropped"]
        if self.fail_after_taking:
            self.fail_after_taking -= 1
            return Reply(503)
        return as_json({"next": len(self.lines), "seconds": 0.05, "full": len(self.lines) >= self.limit})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "BATCH_SECONDS", 0.05)
    monkeypatch.setattr(console, "MAX_PAUSE", 0.1)


@contextmanager
def sending(claimed: ClaimedAttempt, link: ServerLinkSettings) -> Iterator[ConsoleSender]:
    sender = ConsoleSender(AttemptApi(claimed, link), lambda text: text.replace("hunter22", "***"))
    sender.start()
    try:
        yield sender
    finally:
        sender.close()


def request(number: int, path: str = "/v3") -> RequestLine:
    return RequestLine(float(number), "GET", path, 200, number)


def test_every_line_arrives_once_and_in_order(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.otherwise = keeper = Keeper()
    keeper.fail_after_taking = 2
    with sending(claimed, link) as sender:
        for number in range(MAX_BATCH * 3 + 1):
            sender.add(request(number))
        eventually(lambda: len(keeper.lines) == MAX_BATCH * 3 + 1)
    assert [line["ms"] for line in keeper.lines] == list(range(MAX_BATCH * 3 + 1))
    assert {asked.path for asked in server.asked} == {PATH}
    body = json.loads(server.asked[0].body)
    assert body["claim"] == claimed.claim and body["worker"] == "node-1"


def test_what_is_left_at_the_end_is_sent(claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.otherwise = keeper = Keeper()
    with sending(claimed, link) as sender:
        sender._seconds = 600.0
        sender.add(TestLine(1.0, "tempest.a.B.test_c", "passed", 1.5))
    assert [line["status"] for line in keeper.lines] == ["passed"]


def test_a_flush_does_not_wait_for_the_interval(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "BATCH_SECONDS", 600.0)
    server.otherwise = keeper = Keeper()
    with sending(claimed, link) as sender:
        sender.add(request(1))
        sender.flush()
        eventually(lambda: keeper.lines)


def test_secrets_are_masked(claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.otherwise = keeper = Keeper()
    with sending(claimed, link) as sender:
        sender.add(request(1, "/v3?password=hunter22"))
    assert keeper.lines[0]["path"] == "/v3?password=***"


def test_lines_that_the_server_cannot_take_wait_and_then_are_dropped(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.on(PATH, Reply(503))
    with sending(claimed, link) as sender:
        for number in range(console.MAX_WAITING + 100):
            sender.add(request(number))
        eventually(lambda: server.asked)
        del server.replies[PATH]
        server.otherwise = keeper = Keeper()
        eventually(lambda: len(keeper.lines) == console.MAX_WAITING)
    assert keeper.dropped == 100
    assert [line["ms"] for line in keeper.lines] == list(range(console.MAX_WAITING))


def test_batches_of_long_lines_stay_below_the_size_limit(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.otherwise = keeper = Keeper()
    with sending(claimed, link) as sender:
        for number in range(MAX_BATCH):
            sender.add(request(number, "/" + "\u20ac" * 299))  # six bytes each in JSON
        eventually(lambda: len(keeper.lines) == MAX_BATCH)
    assert len(server.asked) > 1


def test_a_server_that_has_enough_is_left_alone(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted
) -> None:
    server.otherwise = keeper = Keeper(limit=10)
    with sending(claimed, link) as sender:
        for number in range(10):
            sender.add(request(number))
        eventually(lambda: len(keeper.lines) == 10 and sender._is_over)
        asked = len(server.asked)
        sender.add(request(11))
    assert len(server.asked) == asked


def test_a_refusal_ends_it(claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted) -> None:
    server.on(PATH, as_json({"error": "no", "reason": "superseded"}, 409))
    with sending(claimed, link) as sender:
        sender.add(request(1))
        eventually(lambda: sender._is_over)
        sender.add(request(2))
    assert len(server.asked) == 1


@pytest.mark.parametrize("number", [-5, 10**6, "x", None, True])
def test_a_reply_that_makes_no_sense_loses_nothing_and_floods_nothing(
    claimed: ClaimedAttempt, link: ServerLinkSettings, server: Scripted, number: object
) -> None:
    server.on(PATH, as_json({"next": number, "seconds": 0.05}))
    with sending(claimed, link) as sender:
        sender.add(request(1))
        eventually(lambda: server.asked)
    assert sender._first in (0, 1)
