"""Results and messages that the server does not take at once wait on the node."""

from __future__ import annotations

import pytest

from tests.integration.worker.conftest import PASSWORD, Node
from tests.support.node_states import clean, running
from tests.support.process_table import files_with
from tests.support.processes import eventually


def test_a_result_that_cannot_be_posted_waits_in_the_spool(node: Node) -> None:
    node.start()
    node.server.refuse_results = True
    attempt = node.submit(101, "pass")
    eventually("it is in the spool", lambda: node.ask()["spool"]["entries"] == 1)
    eventually("the slot is free again", lambda: not node.ask()["slots"][0]["busy"])
    listed = node.command("spool", "list", "-f", "json").stdout
    assert '"101:1"' in listed and '"result"' in listed
    beats = len(attempt.beats)
    eventually("the server goes on hearing of it", lambda: len(attempt.beats) > beats + 3)
    assert files_with(PASSWORD, node.folder / "node" / "state") == []
    assert files_with(attempt.secret, node.folder / "node" / "state") == []
    assert node.command("spool", "flush", "--wait", "20").returncode == 1
    node.server.refuse_results = False
    assert node.command("spool", "flush").stdout.endswith(" sent, 0 left\n")
    assert attempt.results == [b"\xb3 the stream of 101"]
    clean(node)
    assert list((node.folder / "node" / "state" / "spool").iterdir()) == []


def test_the_spool_survives_kill_9(node: Node) -> None:
    program = node.start()
    node.server.refuse_results = True
    attempt = node.submit(102, "pass")
    eventually("it is in the spool", lambda: node.ask()["spool"]["entries"] == 1)
    program.kill()
    node.server.refuse_results = False
    node.start()
    eventually("it is posted", lambda: attempt.results)
    eventually("the spool is empty", lambda: node.ask()["spool"]["entries"] == 0)
    clean(node)


def test_a_spooled_result_of_a_superseded_attempt_is_let_go(node: Node) -> None:
    node.start()
    node.server.refuse_results = True
    attempt = node.submit(103, "pass")
    eventually("it is in the spool", lambda: node.ask()["spool"]["entries"] == 1)
    attempt.superseded = True
    eventually("the spool is empty", lambda: node.ask()["spool"]["entries"] == 0)
    assert not attempt.results


def test_a_failure_that_cannot_be_told_is_told_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.start()
    attempt = node.submit(104, "stubborn")
    running(node, attempt)
    attempt.order = "cancel"
    eventually("it is noticed", lambda: "the server cancelled the attempt" in node.log())
    node.server.down = True
    eventually("the last word is in the spool", lambda: node.ask()["spool"]["entries"] == 1, 40)
    node.server.down = False
    eventually("the end is reported", lambda: attempt.state == "cancelled")
    eventually("the spool is empty", lambda: node.ask()["spool"]["entries"] == 0)


def test_a_spool_that_cannot_be_written_does_not_lose_the_result(node: Node) -> None:
    node.start(spool={"limit_mb": 1, "folder": str(node.folder / "spool"), "first_retry": 0.3})
    (node.folder / "spool" / "ballast").mkdir()
    (node.folder / "spool" / "ballast" / "file").write_bytes(b"x" * (2 << 20))
    node.server.refuse_results = True
    attempt = node.submit(105, "pass")
    eventually("it goes on from the run's folder", lambda: "posting it from the run's folder" in node.log())
    node.server.refuse_results = False
    eventually("the result is there", lambda: attempt.results)
    clean(node)
