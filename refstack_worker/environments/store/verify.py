"""The store as the rest of the program knows it: fill it, verify it, cut it back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.environments.layout.base_virtualenv import all_base_virtualenvs
from refstack_worker.environments.layout.saved_link_plan import all_saved_plans
from refstack_worker.environments.store import gc
from refstack_worker.environments.store.file_locks import sweep, work_folder
from refstack_worker.environments.store.gc import Collected
from refstack_worker.environments.store.wheel_store import WheelStore
from refstack_worker.environments.wheels.unpack import MANIFEST, Manifest
from refstack_worker.errors import StoreError
from refstack_worker.filesystem import disk_errors, sha256_of, sweep_temporaries


@dataclass(frozen=True)
class Damage:
    """An entry, or a plan, that is not what it was when it was made."""

    path: Path
    wheel: str
    """What it is for people: the wheel that it is from."""
    problem: str

    @property
    def entry(self) -> str:
        return self.path.name


class Store(WheelStore):
    """The store in a folder, made when missing. Several processes may use it at once."""

    def verify(self) -> list[Damage]:
        """Read every file of every entry and return what is damaged.

        What killed processes left half-made is removed on the way.

        :raises StoreError: the store cannot be read.
        """
        if not self.root.is_dir():
            return []
        with disk_errors(f"store {self.root}"):
            self.prepare()
            for folder in (self.work, self.locks):
                sweep(folder)
            sweep_temporaries(self.proofs)
            return [*self.damaged(sorted(self.names())), *self._damaged_plans()]

    def remove(self, damage: Damage) -> None:
        """Remove something damaged; it is made again when it is next needed. An environment that uses it breaks.

        :raises StoreError: the store cannot be written.
        """
        with disk_errors(f"store {self.root}"), work_folder(self.work) as folder:
            damage.path.rename(folder / damage.path.name)

    def gc(self, limit: int, in_use: Iterable[str]) -> Collected:
        """Cut the store back to ``limit`` bytes; see :func:`refstack_worker.environments.store.gc.collect`."""
        return gc.collect(self, limit, in_use)

    def damaged(self, names: Iterable[str]) -> Iterator[Damage]:
        """Read every file of some entries and tell what is damaged or gone."""
        for name in names:
            try:
                manifest = self.manifest(name)
            except StoreError as error:
                yield Damage(self.entries / name, name.partition(".")[0], str(error))
                continue
            problem = _entry_problem(self.entries / name, manifest)
            if problem:
                yield Damage(self.entries / name, manifest.wheel, problem)

    def _damaged_plans(self) -> Iterator[Damage]:
        for kept in all_saved_plans(self):
            problem = kept.problem()
            if problem:
                yield Damage(kept.folder, "(links)", problem)
        for base in all_base_virtualenvs(self):
            problem = base.problem()
            if problem:
                yield Damage(base.root, "(virtualenv)", problem)


def _entry_problem(entry: Path, manifest: Manifest) -> str:
    if entry.name.partition(".")[0] != manifest.sha256:
        return "is stored under the wrong name"
    there = dict(_walk(entry))
    there.pop(MANIFEST, None)
    for path, expected in manifest.files.items():
        problem = _file_problem(entry / path, there.pop(path, None), expected)
        if problem:
            return f"{path} {problem}"
    return f"{min(there)} does not belong there" if there else ""


def _walk(entry: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, folders, names in os.walk(entry):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in names + links:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, entry), os.lstat(path)


def _file_problem(path: Path, state: os.stat_result | None, expected: tuple[str, int, bool]) -> str:
    digest, size, executable = expected
    if state is None:
        return "is missing"
    if not stat.S_ISREG(state.st_mode):
        return "is no longer a file"
    if state.st_size != size:
        return f"has {state.st_size} bytes, not {size}"
    if stat.S_IMODE(state.st_mode) != (0o555 if executable else 0o444):
        return f"has mode {stat.S_IMODE(state.st_mode):o}"
    with path.open("rb") as stream:
        if sha256_of(stream) != digest:
            return "was changed"
    return ""
