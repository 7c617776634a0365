"""Free space on the disks that the worker writes to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def free_mb(path: Path) -> int:
    """Return the space (MiB) that the worker's user may use on the disk that holds a folder, or will hold it."""
    return shutil.disk_usage(existing_parent(path)).free >> 20


def lack_of_space(folders: Iterable[Path], limit_mb: int) -> str:
    """Return which folder's disk has less than ``limit_mb`` free, as a sentence; empty if none has."""
    seen: set[int] = set()
    for folder in folders:
        device = os.stat(existing_parent(folder)).st_dev
        if device in seen:
            continue
        seen.add(device)
        free = free_mb(folder)
        if free < limit_mb:
            return f"{folder}: {free} MiB free, limits.min_free_mb is {limit_mb}; free up space"
    return ""


def existing_parent(path: Path) -> Path:
    """Return the path itself if it exists, else its nearest parent that does."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
