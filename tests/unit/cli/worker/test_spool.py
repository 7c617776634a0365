from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refstack_worker.config.worker import SpoolSettings
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import Sealer
from refstack_worker.contract.payload import Payload, new_secret, now
from refstack_worker.worker import control_socket
from refstack_worker.worker.control_socket import ControlSocket
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool.spool import RELEASE, Spool, SpoolEntry


@pytest.fixture
def spool(tmp_path: Path, config: Path) -> Spool:
    """A spool with one entry that failed once."""
    spool = Spool(tmp_path / "state" / "spool", SpoolSettings())
    spool.prepare()
    payload = Payload(7, 2, "https://refstack.example.org", {}, new_secret(), now(), "47.0.0")
    sealer = Sealer(keys.load_sign_private(tmp_path / "sign.key"), keys.load_seal_public(tmp_path / "fleet.pub"))
    claimed = ClaimedAttempt(payload, sealer.seal(payload), "c" * 32, "node-1", "47.0.0")
    entry = SpoolEntry.of(claimed, RELEASE, message="stopped")
    spool.add(claimed, entry)
    spool.failed(entry, "connection refused")
    return spool


@pytest.fixture
def flushing(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What the daemon does when it is asked to flush; the test adds to it."""
    monkeypatch.setattr(control_socket, "POLL_SECONDS", 0.01)
    actions: list[Callable[[], object]] = []

    def flush() -> dict[str, int]:
        for action in actions:
            action()
        return {"entries": 1}

    socket = ControlSocket(tmp_path / "run" / "control.sock", {"flush": flush})
    socket.start()
    yield actions
    socket.stop()


def test_list(worker: Callable[..., int], spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker("spool", "list", "-f", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["Run"], row["Kind"], row["Tries"], row["Error"]) == ("7:2", "release", 1, "connection refused")


def test_flush_waits_until_it_is_sent(
    worker: Callable[..., int],
    spool: Spool,
    flushing: list[Callable[[], object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    flushing.append(lambda: spool.remove(spool.entries()[0]))
    assert worker("spool", "flush") == 0
    assert capsys.readouterr().out == "1 sent, 0 left\n"


def test_flush_says_what_failed_again(
    worker: Callable[..., int], spool: Spool, flushing: list[Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    flushing.append(lambda: spool.failed(spool.entries()[0], "connection refused"))
    assert worker("spool", "flush") == 1
    assert "7:2: connection refused" in caplog.text
