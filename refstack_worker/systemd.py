"""What systemd wants to hear of a service (sd_notify(3)): ready, status, stopping, alive; and where its log goes."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import IO


def notify(**states: str) -> None:
    """Tell systemd states (``READY="1"``, ``STATUS="…"``, ``WATCHDOG="1"``); without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    text = "\n".join(f"{name}={value}" for name, value in states.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.connect("\0" + address[1:] if address.startswith("@") else address)
        connection.sendall(text.encode())


def is_journal(stream: IO[str]) -> bool:
    """Return whether a stream leads to the journal: what a service starts inherits the variable, not always the stream.

    See systemd.exec(5), ``JOURNAL_STREAM``.
    """
    try:
        state = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"


def watchdog_seconds() -> float:
    """Return how often systemd wants to hear of this process, halved for safety; 0: not at all."""
    with suppress(KeyError, ValueError):
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid():
            return int(os.environ["WATCHDOG_USEC"]) / 2e6
    return 0.0
