"""The commands against a real control socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.worker import control_socket
from refstack_worker.worker.control_socket import ControlSocket

SLOT = {
    "slot": 0, "busy": True, "test_id": 7, "attempt": 2, "tempest_version": "47.0.0", "state": "running",
    "seconds": 61, "progress": {"total": 40, "done": 10, "failed": 1},
}  # fmt: skip
STATUS: dict[str, Any] = {
    "node": "node-1", "since": 0.0, "state": "ready",
    "slots": [SLOT, {"slot": 1, "busy": True}, {"slot": 2, "busy": False}],
    "gearman": [{"server": "a:4730", "connected": True}, {"server": "b:4730", "connected": False}],
    "servers": [{"url": "https://x", "problem": ""}, {"url": "https://y", "problem": "no response in time"}],
    "spool": {"entries": 1, "bytes": 5}, "disks": [{"folder": "/s", "free_mb": 7}], "ended": {"posted": 3},
    "keys": {"fleet": ["abc", "def"], "server": ["123"]},
    "last_errors": [{"time": 1.0, "reason": "disk", "message": "full"}],
}  # fmt: skip


class FakeDaemon:
    """Responds over the socket as the daemon does."""

    def __init__(self) -> None:
        self.state = "ready"
        self.health: dict[str, Any] = {"healthy": True, "state": "ready", "problems": []}
        self.status = json.loads(json.dumps(STATUS))
        self.drained = 0

    def commands(self) -> dict[str, Callable[[], Any]]:
        return {
            "status": self._status,
            "health": lambda: self.health,
            "metrics": lambda: {"text": "refstack_worker_up 1\n"},
            "pause": lambda: self._become("paused"),
            "resume": lambda: self._become("ready"),
            "drain": lambda: self._become("draining"),
        }

    def _status(self) -> Any:
        if self.state == "draining":  # one run ends after the other
            self.drained += 1
            self.status["slots"] = self.status["slots"][: max(0, 3 - self.drained)]
        return self.status

    def _become(self, state: str) -> dict[str, str]:
        self.state = state
        return {"state": state}


@pytest.fixture
def daemon(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    monkeypatch.setattr(control_socket, "POLL_SECONDS", 0.01)
    fake = FakeDaemon()
    socket = ControlSocket(tmp_path / "run" / "control.sock", fake.commands())
    socket.start()
    yield fake
    socket.stop()


def test_status_as_a_table(
    worker: Callable[..., int], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIFF_MAX_TERM_WIDTH", "200")
    assert worker("status") == 0
    table = capsys.readouterr().out
    for text in (
        "test 7 attempt 2, Tempest 47.0.0, running for 61 s, 10 of 40 tests, 1 failed",
        "slot 1: claiming a job",
        "slot 2: free",
        "b:4730 NOT CONNECTED",
        "https://x accepts reports from this node",
        "1970-01-01T00:00:01Z disk: full",
        "1 entries, 5 bytes",
        "3 posted",
        "fleet: abc def",
    ):
        assert text in table


def test_status_of_a_paused_node_says_how_to_resume_it(
    worker: Callable[..., int], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIFF_MAX_TERM_WIDTH", "200")
    assert worker("status") == 0
    assert "resume" not in capsys.readouterr().out
    daemon.status["state"] = "paused"
    assert worker("status") == 0
    assert "paused: takes no runs until 'refstack-worker resume'" in capsys.readouterr().out


def test_status_as_json_is_the_daemons_own(
    worker: Callable[..., int], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker("status", "-f", "json") == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_health(worker: Callable[..., int], daemon: FakeDaemon, caplog: pytest.LogCaptureFixture) -> None:
    assert worker("health") == 0
    daemon.health = {"healthy": False, "state": "ready", "problems": ["disk full", "gearman a: not connected"]}
    assert worker("health") == 1
    assert "disk full; gearman a: not connected" in caplog.text


def test_pause_resume_and_metrics(
    worker: Callable[..., int], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker("pause") == 0 and daemon.state == "paused"
    assert worker("resume") == 0 and daemon.state == "ready"
    assert worker("metrics") == 0
    assert capsys.readouterr().out == "paused\nready\nrefstack_worker_up 1\n"


def test_drain_returns_at_once_if_asked(
    worker: Callable[..., int], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worker("drain", "--no-wait") == 0
    assert daemon.state == "draining" and capsys.readouterr().out == "draining\n"


def test_drain_waits_until_the_worker_has_ended(
    worker: Callable[..., int],
    daemon: FakeDaemon,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sleep(_: float) -> None:
        if daemon.drained == 3:
            (tmp_path / "run" / "control.sock").unlink()

    monkeypatch.setattr("refstack_worker.cli.worker.daemon.time.sleep", sleep)
    assert worker("drain") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("draining: slot 0: test 7") and lines[-2:] == [
        "draining: no runs left",
        "drained: the worker has ended",
    ]


@pytest.mark.parametrize("command", ["status", "health", "pause", "resume", "metrics", "drain"])
def test_a_worker_that_is_not_running_gives_a_sentence(
    worker: Callable[..., int], command: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert worker(command) != 0
    assert "the worker is not running" in caplog.text and "unexpected" not in caplog.text.lower()


def test_a_file_that_was_broken_meanwhile_does_not_hide_the_running_worker(
    worker: Callable[..., int],
    daemon: FakeDaemon,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config.write_text("[node]\nslots = 0\n")
    assert worker("pause") == 3, "no worker runs in the usual place"
    monkeypatch.setattr("refstack_worker.cli.worker.daemon.RUNTIME", tmp_path / "run")
    assert worker("pause") == 0
    assert "node.slots must be a whole number" in caplog.text and daemon.state == "paused"
