"""Cutting the store back: what no lock and no environment uses goes, what was longest unused first."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from refstack_worker.environments.layout.saved_link_plan import all_saved_plans
from refstack_worker.environments.store import leases
from refstack_worker.environments.store.file_locks import locked, sweep, work_folder
from refstack_worker.environments.store.wheel_store import WheelStore
from refstack_worker.filesystem import disk_errors, remove_tree, sweep_temporaries


@dataclass(frozen=True)
class Collected:
    removed: tuple[str, ...]
    """Entries."""
    freed: int
    """Bytes."""
    left: int
    """Bytes that the entries which stay take."""


@dataclass(frozen=True)
class EntryUse:
    """One entry, and when it was last part of an environment."""

    name: str
    size: int
    """Bytes on the disk."""
    used: float
    """Seconds since the epoch."""


def collect(store: WheelStore, limit: int, in_use: Iterable[str]) -> Collected:
    """Remove entries until those left take at most ``limit`` bytes; never one that is in use.

    :param in_use: SHA-256 of the wheels that the locks of this node name. What living environments use stays too.
    :raises StoreError: the store cannot be written.
    """
    wheels = set(in_use)
    with disk_errors(f"store {store.root}"):
        store.prepare()
        for folder in (store.work, store.incoming, store.locks):
            sweep(folder)
        sweep_temporaries(store.proofs)
        with work_folder(store.work) as trash:
            with locked(store.root / "gc.lock"):  # no environment can take a lease meanwhile
                leased = {name for lease in leases.live(store) for name in lease.entries}
                uses = usage(store)
                total = sum(use.size for use in uses)
                removed = []
                for use in sorted(uses, key=lambda use: (use.used, use.name)):
                    if total <= limit:
                        break
                    if use.name in leased or use.name.partition(".")[0] in wheels:
                        continue
                    (store.entries / use.name).rename(trash / use.name)
                    removed.append(use)
                    total -= use.size
                _drop_plans(store, {use.name for use in removed})
    return Collected(tuple(use.name for use in removed), sum(use.size for use in removed), total)


def usage(store: WheelStore) -> list[EntryUse]:
    """Return all the entries with their size and last use."""
    used: dict[str, float] = {}
    for kept in all_saved_plans(store):
        for name in kept.entries:
            used[name] = max(kept.used, used.get(name, 0.0))
    found = []
    for name in sorted(store.names()):
        # a clean-up of another process may take an entry while this one looks
        with suppress(FileNotFoundError):
            since = (store.entries / name).stat().st_mtime
            found.append(EntryUse(name, _size(f"{store.entries}/{name}"), max(since, used.get(name, 0.0))))
    return found


def _drop_plans(store: WheelStore, removed: set[str]) -> None:
    for kept in all_saved_plans(store):
        if kept.entries & removed:
            remove_tree(kept.folder)


def _size(folder: str) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            state = entry.stat(follow_symlinks=False)
            total += state.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                total += _size(entry.path)
    return total
