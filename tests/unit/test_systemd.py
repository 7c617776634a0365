from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from refstack_worker import systemd


def test_notifications_and_the_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.notify(READY="1", STATUS="fine")
        assert listener.recv(100) == b"READY=1\nSTATUS=fine"
    systemd.notify(READY="1")
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_seconds() == 0.0


def test_only_the_stream_that_systemd_made_is_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "file").open("w") as file:
        state = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{state.st_dev}:{state.st_ino}")
        assert systemd.is_journal(journal) and not systemd.is_journal(file)
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not systemd.is_journal(journal)
    assert not systemd.is_journal(file)
