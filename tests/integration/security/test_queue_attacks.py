"""An attacker who reaches gearmand can queue any job; a worker acts only on jobs that the server made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import gearman_functions, keys, payload
from tests.integration.worker.conftest import VERSION, Node
from tests.support.processes import eventually

FUNCTION = gearman_functions.for_version(VERSION)


def strangers_keys(folder: Path) -> Path:
    folder.mkdir()
    keys.generate_pair("sign", folder / "sign.key", folder / "sign.pub")
    keys.generate_pair("seal", folder / "fleet.key", folder / "fleet.pub")
    return folder


def sealer(sign: Path, fleet: Path) -> sealing.Sealer:
    return sealing.Sealer(keys.load_sign_private(sign), keys.load_seal_public(fleet))


def refused(node: Node, made: payload.Payload, envelope: bytes, says: str) -> None:
    """Put it into the queue; the worker has to drop it with these words, and say nothing to any server."""
    known = node.server.expect(made.test_id, made.attempt, made.secret)
    node.submit_bytes(FUNCTION, made, envelope)
    eventually(lambda: f"{says!r} in {node.log()[-3000:]}", lambda: says in node.log())
    eventually("the job is out of the queue", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))
    assert (known.claims, known.states, known.results) == (0, [], [])
    assert node.is_clean() and not node.pids


def test_submits_an_unsealed_payload(node: Node) -> None:
    node.start()
    made = node.payload(11, 1, "pass")
    refused(node, made, made.to_bytes(), "not a sealed payload")


def test_submits_a_payload_sealed_and_signed_with_keys_of_its_own(node: Node, tmp_path: Path) -> None:
    node.start()
    made = node.payload(12, 1, "pass")
    theirs = strangers_keys(tmp_path / "theirs")
    refused(node, made, sealer(theirs / "sign.key", theirs / "fleet.pub").seal(made), "which this node does not have")


def test_signs_with_a_key_of_its_own_for_the_real_fleet(node: Node, tmp_path: Path) -> None:
    # the fleet's public key is not a secret
    node.start()
    made = node.payload(13, 1, "pass")
    theirs = strangers_keys(tmp_path / "theirs")
    refused(node, made, sealer(theirs / "sign.key", node.folder / "fleet.pub").seal(made), "not trusted here")


def test_replays_a_job_that_it_saw(node: Node) -> None:
    node.start()
    made = node.payload(14, 1, "pass")
    known = node.server.expect(14, 1, made.secret)
    envelope = node.sealer.seal(made)
    node.submit_bytes(FUNCTION, made, envelope)
    eventually(lambda: f"finished {node.log()[-3000:]}", lambda: known.state == "finished")
    eventually("the job is out of the queue", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))
    started, states = list(node.pids), list(known.states)
    again = replace(made, attempt=9)  # another unique, or gearmand would take both for the same job
    node.submit_bytes(FUNCTION, again, envelope)
    eventually(lambda: f"dropped {node.log()[-3000:]}", lambda: known.claims == 2)
    eventually("the job is out of the queue", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))
    assert (len(known.results), known.states, node.pids) == (1, states, started)


def test_submits_an_older_attempt_of_a_run_that_went_on(node: Node) -> None:
    node.start()
    older = node.payload(15, 1, "pass")
    known = node.server.expect(15, 1, older.secret)
    known.claim = "of the worker that was lost"
    node.submit_bytes(FUNCTION, older, node.sealer.seal(older))
    eventually(lambda: f"asked {node.log()[-3000:]}", lambda: known.claims == 1)
    eventually("the job is out of the queue", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))
    assert (known.results, known.states, node.pids) == ([], [], [])


@pytest.mark.parametrize(
    "callback",
    ["http://169.254.169.254", "http://127.0.0.1:1"],
)
def test_a_signed_callback_to_elsewhere_is_never_called(node: Node, callback: str) -> None:
    # even the server's own key does not send a node's words to an address that the node was not given
    node.start()
    made = node.payload(16, 1, "pass", callback=callback)
    refused(node, made, node.sealer.seal(made), "is not in server.urls")
    assert not [call for call in node.server.calls if "/runs/16/" in call]


def test_writes_lines_of_its_own_into_the_log(node: Node) -> None:
    node.start()
    made = node.payload(17, 1, "pass")
    forged = "2026-01-01T00:00:00.000000Z INFO test 1 attempt 1: passed"
    refused(node, made, b"rsw1.x\n" + forged.encode() + b"\x1b[2J\n", "not a sealed payload")
    assert forged not in node.log().splitlines() and "\x1b" not in node.log()
