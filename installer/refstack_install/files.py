"""Files written so that a reader, a crash or a full disk never sees half of one; and put back as they were."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_install.errors import StepError

Record = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A file as it should be."""

    path: Path
    content: bytes
    mode: int = 0o644
    secret: bool = False
    """Only a digest of it is ever shown or kept."""


def read(path: Path) -> bytes | None:
    """Return what a file holds, None when there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StepError(f"{path} cannot be read", error.strerror or "", "mend that and run again") from error


def mode_of(path: Path) -> int | None:
    """Return a file's permission bits, None when there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_as(wanted: Wanted) -> bool:
    """Whether the file is there with this content and mode."""
    return read(wanted.path) == wanted.content and mode_of(wanted.path) == wanted.mode


def describe(content: bytes | None, secret: bool) -> str:
    """Return what is shown of a file's content: the text, or the digest of a secret."""
    if content is None:
        return ""
    if secret:
        return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"
    return content.decode("utf-8", "replace")


def write(wanted: Wanted) -> None:
    """Write a file beside its place, flush it to the disk, and move it there. :raises StepError: it cannot be."""
    fresh = wanted.path.with_name(f".{wanted.path.name}.refstack-new")
    try:
        wanted.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:
            out.write(wanted.content)
            out.flush()
            os.fchmod(descriptor, wanted.mode)
            os.fsync(descriptor)
        fresh.replace(wanted.path)
        sync_folder(wanted.path.parent)
    except OSError as error:
        _drop(fresh)
        raise StepError(f"{wanted.path} cannot be written", error.strerror or str(error), _todo(error)) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def snapshot(path: Path) -> Record:
    """Return what :func:`restore` needs to put a path back: content, mode, and which folders did not exist."""
    content = read(path)
    return {
        "path": str(path),
        "content": None if content is None else base64.b64encode(content).decode(),
        "mode": mode_of(path),
        "made": [str(folder) for folder in path.parents if not folder.exists()],
    }


def restore(record: Record) -> None:
    """Put a path back as it was; folders that were made for it go when they are empty."""
    path = Path(record["path"])
    if record["content"] is None:
        path.unlink(missing_ok=True)
    else:
        write(Wanted(path, base64.b64decode(record["content"]), int(record["mode"])))
    _drop(path.with_name(f".{path.name}.refstack-new"))
    for folder in record["made"]:
        try:
            os.rmdir(folder)
        except OSError:
            return


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it; one that is not there is fine."""
    if path.exists():
        shutil.rmtree(path)


def _drop(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _todo(error: OSError) -> str:
    if error.errno == 28:
        return "free space on that file system and run again"
    if error.errno in (1, 13, 30):
        return "run as root, on a file system that can be written"
    return "mend that and run again"
