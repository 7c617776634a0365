"""The store: every wheel unpacked once, compiled, read-only, found by what it is.

An entry's name is the wheel's SHA-256, the interpreter's tag and the build of the layout. An entry appears whole, by a
rename, after everything in it is on the disk; so whatever happens, a kill or a power cut, what is there is right.

    entries/<sha256>.<tag>.<layout>/   unpacked wheels
    plans/, proofs/, leases/           see their modules
    incoming/                          wheels under way from a site; work/: entries in the making; locks/
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Callable

from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import LockedWheel
from refstack_worker.environments.store.file_locks import all_locked, locked, sweep, work_folder
from refstack_worker.environments.wheels.bytecode import Compiler
from refstack_worker.environments.wheels.unpack import MANIFEST, Manifest, unpack
from refstack_worker.errors import StoreError
from refstack_worker.filesystem import disk_errors, make_folder, sync_file_system, sync_folder, write_plainly

LAYOUT = "1"
"""Build of the layout: counted up when what an entry holds changes, so that old entries are not taken for new ones."""

Opener = Callable[[Sequence[LockedWheel], Path], Generator[tuple[LockedWheel, BinaryIO], None, None]]
"""Gives verified wheels, open for reading, in whatever order they arrive; may use the folder. See ``wheelhouse.py``."""


class WheelStore:
    """What the store keeps, and how it gets there. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.entries = self.root / "entries"
        self.incoming = self.root / "incoming"
        self.work = self.root / "work"
        self.locks = self.root / "locks"
        self.leases = self.root / "leases"
        self.plans = self.root / "plans"
        self.bases = self.root / "skeletons"
        self.proofs = self.root / "proofs"

    def prepare(self) -> WheelStore:
        """Make the store's folders.

        :raises StoreError: it cannot be written.
        """
        with disk_errors(f"store {self.root}"):
            kept = (self.entries, self.plans, self.bases, self.proofs, self.leases)
            for folder in (*kept, self.incoming, self.work, self.locks):
                make_folder(folder)
        return self

    def name(self, wheel: LockedWheel, interpreter: Interpreter) -> str:
        """Return the name of the entry that a wheel has for an interpreter."""
        return f"{wheel.sha256}.{interpreter.tag}.{LAYOUT}"

    def names(self) -> set[str]:
        """Return the names of all the entries."""
        try:
            return set(os.listdir(self.entries))
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def missing(self, wheels: Sequence[LockedWheel], interpreter: Interpreter) -> list[LockedWheel]:
        """Return those wheels that the store does not hold for an interpreter."""
        there = self.names()
        suffix = f".{interpreter.tag}.{LAYOUT}"
        return [wheel for wheel in wheels if f"{wheel.sha256}{suffix}" not in there]

    def ensure(self, wheels: Sequence[LockedWheel], interpreter: Interpreter, opener: Opener) -> int:
        """See that the store holds all of ``wheels`` for an interpreter; return how many were missing.

        :raises WheelError: a wheel is missing, damaged, or not harmless; nothing of it stays.
        :raises StoreError: the store cannot be written.
        """
        if not self.missing(wheels, interpreter):
            return 0
        self.prepare()
        with disk_errors(f"store {self.root}"):
            names = [self.name(wheel, interpreter) for wheel in wheels]
            with all_locked(self.locks, names):  # so that of many who fill, one does the work
                missing = self.missing(wheels, interpreter)
                if missing:
                    self._fill(missing, interpreter, opener)
        return len(missing)

    def _fill(self, wheels: Sequence[LockedWheel], interpreter: Interpreter, opener: Opener) -> None:
        sweep(self.work)
        with work_folder(self.work) as folder:
            manifests = self._unpacked(wheels, interpreter, opener, folder)
            for name, manifest in manifests.items():
                finish(folder / name, manifest)
            sync_file_system(folder)
            self._publish(folder, list(manifests))

    def _unpacked(
        self, wheels: Sequence[LockedWheel], interpreter: Interpreter, opener: Opener, folder: Path
    ) -> dict[str, Manifest]:
        manifests = {}
        with Compiler(interpreter, folder, len(wheels)) as compiler:
            with closing(opener(wheels, make_folder(folder / "arrived"))) as arriving:  # ends its threads in any case
                for wheel, stream in arriving:
                    name = self.name(wheel, interpreter)
                    manifests[name] = unpack(wheel.filename, wheel.sha256, stream, folder / name)
                    compiler.add(name, manifests[name])
            return compiler.finish(manifests)

    def _publish(self, folder: Path, names: Sequence[str]) -> None:
        with locked(self.root / "gc.lock", shared=True):
            for name in names:
                (folder / name).rename(self.entries / name)
        sync_folder(self.entries)

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of an entry.

        :raises StoreError: it is missing or damaged.
        """
        path = self.entries / name / MANIFEST
        try:
            return Manifest.from_json(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: damaged ({error}); 'refstack-worker env verify --repair' repairs it") from error


def finish(entry: Path, manifest: Manifest) -> None:
    """Write an entry's manifest and make its folders read-only."""
    write_plainly(entry / MANIFEST, manifest.to_json())
    for folder, _, _ in os.walk(entry, topdown=False):
        os.chmod(folder, 0o755 if folder == str(entry) else 0o555)  # its own stays movable for its owner
