"""Finds the program of this machine that listens on a port, as far as this user may see it (Linux, proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_LISTEN = "0A"
"""The state of a listening socket in ``/proc/net/tcp``."""


def program_on(port: int) -> str:
    """Return the name of the program that listens on a TCP port; empty: none, or not visible to this user."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return ""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if sockets & set(_open_in(entry)):
                    return (entry / "comm").read_text().strip()
    return ""


def _open_in(process: Path) -> Iterator[str]:
    """Yield what a process has open; skips what it closes meanwhile."""
    for number in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(number)


def _inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                    inodes.add(words[9])
    return inodes
