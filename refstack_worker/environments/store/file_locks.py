"""Locks between processes that a kill cannot leave behind: the kernel drops a ``flock`` with its owner."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from refstack_worker.filesystem import make_folder, remove_tree


@contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file that stays, made when missing; waits until it is free."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(number, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


@contextmanager
def all_locked(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Hold a lock for each of ``names``; the lock files are gone again afterwards.

    They are always taken in the order of their names, so that two processes that need some of the same never wait for
    each other in a circle.
    """
    with ExitStack() as stack:
        for name in sorted(set(names)):
            stack.enter_context(passing_lock(folder / name))
        yield


@contextmanager
def passing_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is gone afterwards, unless a kill leaves it."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(number, fcntl.LOCK_EX)
        if _still_there(path, number):
            break
        os.close(number)  # its last owner unlinked it while we waited: we hold a lock that no one else can see
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


def _still_there(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(number))
    except FileNotFoundError:
        return False


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder that is removed afterwards, or by :func:`sweep` when its owner was killed."""
    while True:
        path = parent / f"{os.getpid()}-{os.urandom(6).hex()}"
        with suppress(FileNotFoundError):  # swept before it was locked: make another
            make_folder(path)
            number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(number, fcntl.LOCK_EX)
            if _still_there(path, number):
                break
            os.close(number)
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(number)


def sweep(parent: Path) -> list[Path]:
    """Remove the files and folders below ``parent`` whose owner is gone, and return them."""
    swept = []
    for path in list(parent.iterdir()):
        try:
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(path, number):
                _remove(path)
                swept.append(path)
        except BlockingIOError:
            pass
        finally:
            os.close(number)
    return swept


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
