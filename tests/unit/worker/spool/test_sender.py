"""The spool's sender against a real HTTP server with scripted responses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import ServerLinkSettings, SpoolSettings, WorkerSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.worker.sandbox.runner import EmbeddedRunner
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool.sender import SenderTools, SpoolSender
from refstack_worker.worker.spool.spool import RELEASE, RESULT, Spool, SpoolEntry
from tests.support.http_server import Scripted, as_json
from tests.support.worker_parts import eventually

RELEASED = "/worker/v1/runs/7/attempts/2/release"
STATUS = "/update-test-status/"


def received(server: Scripted, path: str) -> list[dict[str, str]]:
    return [json.loads(asked.body) for asked in server.asked if asked.path == path]


@pytest.mark.parametrize(
    ("reason", "messages"), [("ended", 1), ("superseded", 0)], ids=["run-had-ended", "another-attempt-follows"]
)
def test_release_of_a_run_that_had_ended_becomes_a_message_about_its_leftovers(
    tmp_path: Path,
    claimed: ClaimedAttempt,
    opener: Opener,
    server: Scripted,
    link: ServerLinkSettings,
    reason: str,
    messages: int,
) -> None:
    settings = replace(WorkerSettings(EnvironmentSettings(tmp_path / "store")), server=link)
    server.on(RELEASED, as_json({"error": "no", "reason": reason}, 409))
    server.on(STATUS, as_json({}, 202))
    spool = Spool(tmp_path / "spool", SpoolSettings(first_retry=0.1))
    spool.prepare()
    spool.add(claimed, SpoolEntry.of(claimed, RELEASE, message="the worker was killed during the run"))
    sender = SpoolSender(spool, SenderTools(settings, opener, EmbeddedRunner(tmp_path / "runs", "me"), ()))
    sender.start()
    try:
        eventually(lambda: not spool.entries())
    finally:
        sender.stop()
    assert len(received(server, RELEASED)) == 1
    reports = received(server, STATUS)
    assert len(reports) == messages
    # what the first attempt left was to be removed after the second, too
    prefixes = [claimed.payload.prefix_of(number) for number in (1, 2)]
    assert all("status" not in one and all(prefix in one["message"] for prefix in prefixes) for one in reports)


def test_a_program_that_breaks_off_has_posted_nothing_and_the_result_is_kept(
    tmp_path: Path, claimed: ClaimedAttempt, opener: Opener, server: Scripted, link: ServerLinkSettings
) -> None:
    settings = replace(WorkerSettings(EnvironmentSettings(tmp_path / "store")), server=link)
    server.on("/worker/v1/runs/7/attempts/2/heartbeat", as_json({"order": "go"}))
    spool = Spool(tmp_path / "spool", SpoolSettings(first_retry=0.1))
    spool.prepare()
    with spool.writer(claimed) as writer:
        writer.write("subunit", b"result")
        writer.keep(SpoolEntry.of(claimed, RESULT))
    broken = (sys.executable, "-c", "raise MemoryError")
    sender = SpoolSender(spool, SenderTools(settings, opener, EmbeddedRunner(tmp_path / "runs", "me"), broken))
    sender.start()
    try:
        eventually(lambda: any("ended with status 1" in entry.error for entry in spool.entries()))
    finally:
        sender.stop()


class TestTooOld:
    """What is older than ``keep_days`` by a clock that may be wrong."""

    @pytest.fixture
    def spool(self, tmp_path: Path, claimed: ClaimedAttempt) -> Spool:
        spool = Spool(tmp_path / "spool", SpoolSettings(first_retry=0.05, last_retry=0.05))
        spool.prepare()
        spool.add(claimed, replace(SpoolEntry.of(claimed, RELEASE, message="killed"), since=0.0))
        return spool

    @pytest.fixture
    def sender(self, spool: Spool, tmp_path: Path, opener: Opener, link: ServerLinkSettings) -> Iterator[SpoolSender]:
        settings = replace(WorkerSettings(EnvironmentSettings(tmp_path / "store")), server=link)
        sender = SpoolSender(spool, SenderTools(settings, opener, EmbeddedRunner(tmp_path / "runs", "me"), ()))
        yield sender
        sender.stop()

    def test_it_is_sent_all_the_same(self, spool: Spool, sender: SpoolSender, server: Scripted) -> None:
        server.on(RELEASED, as_json({}))
        sender.start()
        eventually(lambda: not spool.entries())
        assert len(received(server, RELEASED)) == 1

    def test_it_is_given_up_when_that_fails_for_a_while(
        self, spool: Spool, sender: SpoolSender, server: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("refstack_worker.worker.spool.sender.LAST_CHANCE_SECONDS", 0.5, raising=False)
        server.on(RELEASED, as_json({}, 503))
        sender.start()
        eventually(lambda: len(received(server, RELEASED)) > 2)
        eventually(lambda: not spool.entries())
