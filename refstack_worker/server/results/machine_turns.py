"""Whose turn it is for work that takes a whole processor, among all threads and processes of the API on a machine."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOOK_SECONDS = 0.05
"""Between two looks whether another process has given back its turn."""


class NoTurnError(Exception):
    """Others held all turns for as long as was waited."""


class MachineTurns:
    """Lets so many threads work at the same time.

    The kernel gives back the turn of a process that is killed: each is a lock on a file.
    """

    def __init__(self, name: str, most: int) -> None:
        """:param name: of the files, before the number of the turn. :param most: turns, in all processes together."""
        self._names = [f"{name}-{number}" for number in range(most)]
        # who has it looks for a turn: a process with many threads would take again and again what it gives back
        self._next = f"{name}-next"
        # of each process only so many threads look for files, the others wait for them
        self._here = threading.BoundedSemaphore(most)

    @contextmanager
    def turn(self, folder: Path, seconds: float) -> Iterator[None]:
        """Hold a turn.

        :param folder: of the files, which all processes share; made when missing.
        :param seconds: that are waited at most.
        :raises NoTurnError: there was none in that time.
        :raises OSError: the files cannot be made or opened.
        """
        until = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._here.acquire(timeout=seconds):
            raise NoTurnError
        try:
            with _one_of([folder / self._next], until):
                turn = ExitStack()
                turn.enter_context(_one_of([folder / name for name in self._names], until))
            with turn:
                yield
        finally:
            self._here.release()


@contextmanager
def _one_of(paths: Sequence[Path], until: float) -> Iterator[None]:
    """Hold the lock of one of several files, which is gone afterwards. :raises NoTurnError: others held them all."""
    while True:
        for path in paths:
            file = _locked(path)
            if file is not None:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                    os.close(file)
                return
        if time.monotonic() >= until:
            raise NoTurnError
        time.sleep(LOOK_SECONDS)


def _locked(path: Path) -> int | None:
    """Lock a file, made when missing, and return its number; None: another holds it."""
    file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.geteuid() == 0:
            # whatever root's umask is: the service's user must be able to open one that root left
            os.fchmod(file, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(file)):
            return file
    except (BlockingIOError, FileNotFoundError):
        # held by another, or removed by its last holder between the two calls
        pass
    os.close(file)
    return None
