"""The spool's forwarder against a real HTTP server that answers as it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import ServerLinkSettings, SpoolSettings, WorkerSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.worker.sandbox.runner import EmbeddedRunner
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool.sender import Forwarder, Tools
from refstack_worker.worker.spool.spool import RELEASE, Entry, Spool
from tests.support.http_server import Scripted, as_json
from tests.support.worker_parts import eventually

RELEASED = "/worker/v1/runs/7/attempts/2/release"
STATUS = "/update-test-status/"


def told(server: Scripted, path: str) -> list[dict[str, str]]:
    return [json.loads(asked.body) for asked in server.asked if asked.path == path]


@pytest.mark.parametrize(
    ("reason", "messages"), [("ended", 1), ("superseded", 0)], ids=["run-had-ended", "another-attempt-follows"]
)
def test_release_of_a_run_that_had_ended_becomes_a_word_about_its_leftovers(
    tmp_path: Path,
    held: ClaimedAttempt,
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
    spool.add(held, Entry.of(held, RELEASE, message="the worker was killed in the middle of it"))
    forwarder = Forwarder(spool, Tools(settings, opener, EmbeddedRunner(tmp_path / "runs", "me"), ()))
    forwarder.start()
    try:
        eventually(lambda: not spool.entries())
    finally:
        forwarder.stop()
    assert len(told(server, RELEASED)) == 1
    said = told(server, STATUS)
    assert len(said) == messages
    assert all("refstack-7-2" in one["message"] and "status" not in one for one in said)
