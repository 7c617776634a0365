"""What runs on this machine, and which files hold a text."""

from __future__ import annotations

import contextlib
from pathlib import Path


def below(pid: int) -> set[int]:
    """Return the ids of the living processes below one (zombies are none)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                words = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if words[0] not in (b"Z", b"X"):
                    parents[int(entry.name)] = int(words[1])
    found: set[int] = set()
    todo = [pid]
    while todo:
        parent = todo.pop()
        children = {child for child, its_parent in parents.items() if its_parent == parent} - found
        found |= children
        todo += children
    return found


def command_lines() -> dict[int, str]:
    """Return the command lines and environments of all processes: what ``ps auxe`` shows to root."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
    return found


def files_with(text: str, *folders: Path) -> list[Path]:
    """Return the files below folders in whose bytes a text stands."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                    found.append(path)
    return found
