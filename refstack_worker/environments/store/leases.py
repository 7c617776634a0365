"""Who uses what in the store: a lease for each environment, so that a clean-up takes nothing from under a run.

A lease holds for as long as its environment's folder exists, even when the process that made it no longer
lives: a run may outlive the worker that started it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.environments.store.file_locks import locked
from refstack_worker.environments.store.wheel_store import WheelStore
from refstack_worker.filesystem import disk_errors


@dataclass(frozen=True)
class Lease:
    """One environment's use of store entries."""

    path: Path
    folder: Path
    """The environment."""
    label: str
    """What it is, for people."""
    entries: tuple[str, ...]
    since: float
    """Seconds since the epoch."""

    @property
    def live(self) -> bool:
        return self.folder.is_dir()

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


def take(store: WheelStore, folder: Path, label: str, entries: Sequence[str]) -> Lease | None:
    """Note that an environment uses entries; ``None`` when one of them is not there (any more)."""
    path = store.leases / f"{os.getpid()}-{os.urandom(6).hex()}.json"
    content = json.dumps({"folder": str(folder), "label": label, "entries": list(entries)})
    since = time.time()
    with disk_errors(f"store {store.root}"), locked(store.root / "gc.lock", shared=True):
        if not store.names().issuperset(entries):
            return None
        path.write_text(content)
    return Lease(path, folder, label, tuple(entries), since)


def live(store: WheelStore) -> list[Lease]:
    """Return the leases of environments that exist, oldest first; those of others are removed."""
    found = []
    for path in sorted(store.leases.glob("*.json")):
        lease = _read(path)
        if lease is not None and lease.live:
            found.append(lease)
        else:
            path.unlink(missing_ok=True)
    return sorted(found, key=lambda lease: lease.since)


def _read(path: Path) -> Lease | None:
    try:
        data = json.loads(path.read_bytes())
        return Lease(path, Path(data["folder"]), data["label"], tuple(data["entries"]), path.stat().st_mtime)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # ended meanwhile, or cut off by a crash: then its environment is dead too
