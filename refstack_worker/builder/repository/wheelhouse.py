"""Publishing a wheelhouse: a folder that any web server can serve, and that nodes read as it is.

    wheelhouse.json                       the locks, each with its SHA-256 and size
    47.0.0/pylock.py311-x86_64.toml       as ``refstack-package lock`` made it, byte for byte
    47.0.0/wheels/*.whl

Wheels come first, then locks, the list last, each by a rename, so that a reader sees either the old state or the new.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.environments.lock import LOCK_NAME, Lock, LockedWheel, read_lock
from refstack_worker.environments.store.file_locks import locked
from refstack_worker.environments.wheels.remote_wheelhouse import FORMAT, LIST, VERSION_FOLDER
from refstack_worker.environments.wheels.sources import verify
from refstack_worker.errors import BuildError
from refstack_worker.filesystem import disk_errors, make_folder, remove_tree, sha256_of, write_whole


@dataclass(frozen=True)
class PublishedWheelhouse:
    """One lock of a wheelhouse."""

    path: str
    label: str
    wheels: int
    new: bool


def publish(house: Path, folders: Iterable[Path], withdraw: Iterable[str] = ()) -> list[PublishedWheelhouse]:
    """Add the versions in ``folders`` to a wheelhouse, take those in ``withdraw`` out, and write its list.

    :raises WheelError: a wheel is not what its lock says.
    :raises BuildError: a folder holds no lock, or a version to withdraw is not there.
    """
    with disk_errors(f"wheelhouse {house}"):
        make_folder(house)
        with locked(house / ".lock"):
            new = {name for folder in folders for name in _add(house, folder)}
            leaving = [_leaving(house, name) for name in withdraw]
            found = _locks(house, leaving)
            _write_list(house, found)
            for folder in leaving:
                remove_tree(folder)
    return [
        PublishedWheelhouse(name, lock.label, len(lock.wheels), name in new)
        for name, lock in ((f"{lock.path.parent.name}/{lock.path.name}", lock) for lock in found)
    ]


def check(folder: Path) -> list[Lock]:
    """Read the locks of a version's folder and see that each wheel is there, byte for byte.

    :raises WheelError: a wheel is not what its lock says, or is missing.
    :raises BuildError: there is no lock.
    """
    locks = [read_lock(path) for path in sorted(folder.glob("*.toml")) if LOCK_NAME.fullmatch(path.name)]
    if not locks:
        raise BuildError(f"{folder}: holds no pylock….toml; make one with 'refstack-package lock'")
    for lock in locks:
        for wheel in lock.wheels:
            path = _wheel_file(folder, wheel)
            with path.open("rb") as stream:
                verify(wheel, stream, path)
    return locks


def _wheel_file(folder: Path, wheel: LockedWheel) -> Path:
    path = folder / (wheel.path or f"wheels/{wheel.filename}")
    if not path.is_file():
        raise BuildError(f"{path}: is missing; make the lock again")
    return path


def _add(house: Path, folder: Path) -> list[str]:
    locks = check(folder)
    target = make_folder(house / locks[0].set_name)
    if not VERSION_FOLDER.fullmatch(target.name):
        raise BuildError(f"{folder}: {target.name!r} cannot be the name of a version's folder")
    for lock in locks:
        for wheel in lock.wheels:
            _place(_wheel_file(folder, wheel), make_folder(target / "wheels") / wheel.filename, wheel)
    for lock in locks:
        write_whole(target / lock.path.name, lock.path.read_bytes())
    return [f"{target.name}/{lock.path.name}" for lock in locks]


def _place(source: Path, target: Path, wheel: LockedWheel) -> None:
    with suppress(FileNotFoundError), target.open("rb") as stream:
        if sha256_of(stream) == wheel.sha256:
            return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        temporary.chmod(0o644)
        with temporary.open("rb") as stream:
            verify(wheel, stream, source)
            os.fsync(stream.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def _leaving(house: Path, name: str) -> Path:
    folder = house / name
    if not VERSION_FOLDER.fullmatch(name) or not folder.is_dir():
        raise BuildError(f"{house}: has no version {name!r} to withdraw")
    return folder


def _locks(house: Path, leaving: Iterable[Path]) -> list[Lock]:
    gone = set(leaving)
    folders = sorted(path for path in house.iterdir() if path.is_dir() and path not in gone)
    return [
        read_lock(path)
        for folder in folders
        for path in sorted(folder.glob("pylock*.toml"))
        if LOCK_NAME.fullmatch(path.name)
    ]


def _write_list(house: Path, locks: Iterable[Lock]) -> None:
    entries = []
    for lock in locks:
        content = lock.path.read_bytes()
        entries.append(
            {
                "path": f"{lock.path.parent.name}/{lock.path.name}",
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "tempest": lock.version,
                "plugins": dict(lock.compatibility.plugins),
            }
        )
    write_whole(house / LIST, (json.dumps({"format": FORMAT, "locks": entries}, indent=1) + "\n").encode())
