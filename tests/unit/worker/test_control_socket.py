from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.errors import ConfigError, RefstackError, UsageError
from refstack_worker.worker import control_socket
from refstack_worker.worker.control_socket import ControlSocket
from refstack_worker.worker.metrics import NodeMetrics

STATUS = {
    "node": 'a"b',
    "slots": [{"busy": True}, {"busy": False}],
    "accepting": True,
    "versions": ["47.0.0"],
    "gearman": [{"connected": True}, {"connected": False}],
    "servers": [{"url": "https://refstack.example", "problem": ""}],
    "spool": {"entries": 2, "bytes": 10},
    "store": {"wheels": 7},
    "disks": [{"folder": "/var", "free_mb": 3}],
    "ended": {"posted": 5, "failed": 1},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "POLL_SECONDS", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    state = {"healthy": True}
    commands = {
        "status": lambda: STATUS,
        "health": lambda: dict(state),
        "pause": lambda: state.update(healthy=False) or {"state": "paused"},
        "refuse": refuse,
        "metrics": lambda: {"text": NodeMetrics("a", lambda: STATUS).text()},
    }
    made = ControlSocket(tmp_path / "run" / "control.sock", commands)
    made.start()
    yield tmp_path / "run" / "control.sock"
    made.stop()
    assert not (tmp_path / "run" / "control.sock").exists()


def refuse() -> dict[str, object]:
    raise ConfigError("paused, but the pause could not be saved: /x: No space left on device")


def test_a_command_that_fails_says_why(path: Path) -> None:
    with pytest.raises(UsageError, match="the pause could not be saved: /x: No space left"):
        control_socket.ask(path, "refuse")


def http(path: Path, target: str) -> tuple[str, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).decode().partition("\r\n\r\n")
    return head.splitlines()[0], body


def test_questions_are_answered(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o660
    assert control_socket.ask(path, "status") == {"ok": True, **STATUS}
    assert control_socket.ask(path, "pause")["state"] == "paused"
    with pytest.raises(UsageError, match="one of: status, health, pause, refuse, metrics"):
        control_socket.ask(path, "explode")


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"null\n", b'{"command": []}\n', b"[" * 60000 + b"\n", b"\xff\n"])
def test_nonsense_is_answered_and_harms_nothing(path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(line)
        assert b'"ok": false' in connection.recv(65536)
    assert control_socket.ask(path, "status")["ok"]


def test_curl_gets_metrics_and_health(path: Path) -> None:
    status, text = http(path, "/metrics")
    assert status == "HTTP/1.0 200 OK"
    assert 'refstack_worker_busy_slots{node="a\\"b"} 1' in text
    assert 'refstack_worker_spool_entries{node="a\\"b"} 2' in text
    assert text.count("# TYPE refstack_worker_runs_total counter\n") == 1
    assert http(path, "/health")[0] == "HTTP/1.0 200 OK"
    control_socket.ask(path, "pause")
    assert http(path, "/health")[0] == "HTTP/1.0 503 Service Unavailable"
    assert http(path, "/x")[0] == "HTTP/1.0 404 Not Found"


def test_a_worker_that_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(RefstackError, match="the worker is not running; .*'systemctl start refstack-worker'"):
        control_socket.ask(tmp_path / "no.sock", "status")


@pytest.mark.parametrize(
    ("state", "said"),
    [("activating", "about to start the worker; try again in a few seconds"), ("failed", "the worker is not running")],
)
def test_a_worker_that_systemd_is_about_to_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, said: str
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$3" = refstack-worker.service ] && echo ActiveState={state}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(RefstackError, match=said):
        control_socket.ask(tmp_path / "no.sock", "status")


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "control.sock"))
    left.close()
    with pytest.raises(RefstackError, match="is not running"):
        control_socket.ask(tmp_path / "control.sock", "status")
    made = ControlSocket(tmp_path / "control.sock", {"status": lambda: {"a": 1}})
    made.start()
    try:
        assert control_socket.ask(tmp_path / "control.sock", "status") == {"ok": True, "a": 1}
    finally:
        made.stop()
