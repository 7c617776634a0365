"""Files that commands write: whole or not at all, and ``-`` for standard output."""

from __future__ import annotations

import contextlib
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
    path = Path(file)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as out:
            yield out
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
