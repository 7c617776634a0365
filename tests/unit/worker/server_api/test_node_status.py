from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config.worker import ServerLinkSettings, WorkerSettings
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import NodeChannel, Opener, open_node_message, sender_of
from refstack_worker.contract.node_command import NodeAction, NodeCommand
from refstack_worker.worker.server_api.node_status import NodeStatus, NodeStatusReporter
from tests.support.http_server import Reply, Scripted, as_json
from tests.support.worker_parts import eventually

PATH = "/worker/v1/nodes/node-1"
READY = NodeStatus(("47.0.0",), 2, 1, ("eu",), "ready", "1.0")


@contextmanager
def reporting(
    settings: WorkerSettings, opener: Opener, server: Scripted, actions: list[NodeAction] | None = None
) -> Iterator[NodeStatusReporter]:
    named = replace(settings, node=replace(settings.node, name="node-1"), server=ServerLinkSettings((server.url,)))
    channels = NodeChannel.all_of_node(opener.private, opener.servers)
    reporter = NodeStatusReporter(named, channels, lambda: READY, (actions if actions is not None else []).append)
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.stop()


def opened(server: Scripted, folder: Path) -> list[dict[str, Any]]:
    signing, fleet = keys.load_sign_private(folder / "sign.key"), keys.load_seal_public(folder / "fleet.pub")
    return [json.loads(open_node_message(asked.body, signing, fleet)) for asked in server.asked]


def test_the_server_can_read_it_and_each_is_newer(
    settings: WorkerSettings, opener: Opener, server: Scripted, tmp_path: Path
) -> None:
    server.on(PATH, as_json({"seconds": 600}))
    with reporting(settings, opener, server) as reporter:
        eventually(lambda: server.asked)
        reporter.nudge()
        eventually(lambda: len(server.asked) == 2)
    messages = opened(server, tmp_path)
    first = {**messages[0]}
    del first["time"]
    assert first == {
        "name": "node-1", "versions": ["47.0.0"], "slots": 2, "busy": 1, "tags": ["eu"], "state": "ready",
        "software": "1.0", "plugin_sets": [],
    }  # fmt: skip
    times = [message["time"] for message in messages]
    assert times == sorted(set(times)) and len(times) == 3, "the last report is sent when it stops"


def test_a_problem_is_kept_until_the_server_accepts_again(
    settings: WorkerSettings, opener: Opener, server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    server.on(PATH, Reply(500), as_json({"seconds": 600}))
    with caplog.at_level("INFO", logger="refstack_worker"), reporting(settings, opener, server) as reporter:
        eventually(lambda: "response 500" in reporter.problems.get(server.url, ""))
        reporter.nudge()
        eventually(lambda: reporter.problems[server.url] == "")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_command_is_carried_out_once_and_confirmed_at_once(
    settings: WorkerSettings, opener: Opener, server: Scripted, tmp_path: Path
) -> None:
    pause = as_json({"seconds": 600, "command": NodeCommand(17, NodeAction.PAUSE).to_json()})
    server.on(PATH, pause, pause, as_json({"seconds": 600}))
    actions: list[NodeAction] = []
    with reporting(settings, opener, server, actions) as reporter:
        eventually(lambda: len(server.asked) == 2)
        reporter.nudge()
        eventually(lambda: len(server.asked) == 3)
    assert actions == [NodeAction.PAUSE]
    assert [message.get("command_done") for message in opened(server, tmp_path)] == [None, 17, 17, 17]


def test_the_sets_of_plugins_that_runs_ask_for_are_kept(
    settings: WorkerSettings, opener: Opener, server: Scripted
) -> None:
    sets = [{"a-tempest-plugin": "1.0", "b-tempest-plugin": "1.0", "c-tempest-plugin": "1.0"}]
    server.on(PATH, as_json({"seconds": 600, "wanted_plugins": sets}), as_json({"seconds": 600}))
    with reporting(settings, opener, server) as reporter:
        eventually(lambda: reporter.wanted_plugins.get(server.url) == sets)
        reporter.nudge()
        eventually(lambda: reporter.wanted_plugins[server.url] == [])


@pytest.mark.parametrize("reason", ["seal", "key"])
def test_while_keys_rotate_the_next_key_is_used_too(
    settings: WorkerSettings, opener: Opener, server: Scripted, tmp_path: Path, reason: str
) -> None:
    keys.generate_pair("seal", tmp_path / "fleet.key", tmp_path / "new.pub")  # the server has fleet.pub as it was
    rotated = Opener(keys.load_seal_private(tmp_path / "fleet.key"), opener.servers)
    assert len(rotated.private.keys) == 2
    refused = Reply(403, b'{"error": "renew the keys", "reason": "%s"}' % reason.encode())
    server.on(PATH, refused, as_json({"seconds": 600}))
    with reporting(settings, rotated, server) as reporter:
        eventually(lambda: reporter.problems.get(server.url) == "")
    first, second, *_ = server.asked
    assert [sender_of(first.body), sender_of(second.body)] == [key for key, _ in rotated.private.keys]


def test_another_refusal_is_not_tried_with_another_key(
    settings: WorkerSettings, opener: Opener, server: Scripted, tmp_path: Path
) -> None:
    keys.generate_pair("seal", tmp_path / "fleet.key", tmp_path / "new.pub")
    rotated = Opener(keys.load_seal_private(tmp_path / "fleet.key"), opener.servers)
    server.on(PATH, Reply(403, b'{"error": "gone", "reason": "revoked"}'))
    actions: list[NodeAction] = []
    with reporting(settings, rotated, server, actions):
        eventually(lambda: actions == [NodeAction.PAUSE])
    assert {sender_of(asked.body) for asked in server.asked} == {rotated.private.newest[0]}
