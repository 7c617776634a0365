"""Files that commands write: whole or not at all, and ``-`` for standard output.

Links are followed. Into a pipe or a device everything is written as it comes.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from refstack_worker.cli.terminal import guarded
from refstack_worker.errors import UsageError

STDOUT = "-"


class Saves(Protocol):
    """What is needed of the API."""

    def save(self, path: str, out: BinaryIO) -> int: ...


def save(api: Saves, path: str, file: str) -> None:
    """Write what is at a path of the API into a file, or to standard output. :raises UsageError: that fails."""
    with opened(file) as out:
        api.save(path, out)


@contextmanager
def opened(file: str, stdout: Callable[[], Any] = lambda: guarded(sys.stdout).buffer) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its name when all is written. :raises UsageError: it cannot be written."""
    if file == STDOUT:
        yield stdout()
        stdout().flush()
        return
    try:
        with _direct(file) if _is_special(file) else _in_place_of(Path(os.path.realpath(file))) as out:
            yield out
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _is_special(file: str) -> bool:
    """Return whether there is a pipe, a device or the like, which cannot be replaced by a file."""
    try:
        return not stat.S_ISREG(os.stat(file).st_mode)
    except FileNotFoundError:
        return False


def _direct(file: str) -> BinaryIO:
    return open(os.open(file, os.O_WRONLY), "wb")


@contextmanager
def _in_place_of(path: Path) -> Iterator[BinaryIO]:
    """Give a new file beside ``path`` that takes its place at the end, or goes if that is not reached."""
    # unpredictable, so that it is neither a file of the user's nor a link of another's
    part = path.with_name(f".refstack-{os.urandom(8).hex()}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as out:
        try:
            yield out
            out.flush()
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
