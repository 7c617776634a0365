"""Whose turn it is for work that takes a whole processor, among all threads and processes of the API on a machine."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        # of each process only so many threads look for files, the others wait for them
        self._here = threading.BoundedSemaphore(most)

    @contextmanager
    def turn(self, folder: Path, seconds: float) -> Iterator[None]:
        """Hold a turn.

        :param folder: of the files, which all processes share; made when missing.
        :param seconds: that are waited at most.
        :raises NoTurnError: there was none in that time.
        """
        until = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._here.acquire(timeout=seconds):
            raise NoTurnError
        try:
            path, file = self._file(folder, until)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
                os.close(file)
        finally:
            self._here.release()

    def _file(self, folder: Path, until: float) -> tuple[Path, int]:
        """Return a file that this thread has locked, and its number."""
        while True:
            for path in (folder / name for name in self._names):
                file = _locked(path)
                if file is not None:
                    return path, file
            if time.monotonic() >= until:
                raise NoTurnError
            time.sleep(LOOK_SECONDS)


def _locked(path: Path) -> int | None:
    """Lock a file, made when missing, and return its number; None: another holds it."""
    # to read, so that one that root left is of use to the service's user too
    file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(file)):
            return file
    except (BlockingIOError, FileNotFoundError):
        # held by another, or removed by its last holder between the two calls
        pass
    os.close(file)
    return None
