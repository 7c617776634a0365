"""Writes files atomically and puts them back as they were."""

from __future__ import annotations

import base64
import errno
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
class TargetFile:
    """A file in its desired state."""

    path: Path
    content: bytes
    mode: int = 0o644
    secret: bool = False
    """Show only a digest of the content."""


def read(path: Path) -> bytes | None:
    """Return a file's content, or None if it does not exist."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StepError(f"cannot read {path}", error.strerror or "", "fix this and run again") from error


def mode_of(path: Path) -> int | None:
    """Return a file's permission bits, or None if it does not exist."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_current(target: TargetFile) -> bool:
    """Return whether the file exists with this content and mode."""
    return read(target.path) == target.content and mode_of(target.path) == target.mode


def describe(content: bytes | None, secret: bool) -> str:
    """Return the content as text, or the digest of a secret."""
    if content is None:
        return ""
    if secret:
        return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"
    return content.decode("utf-8", "replace")


def write(target: TargetFile) -> None:
    """Write a temporary file, flush it to disk and rename it. :raises StepError: writing failed."""
    fresh = target.path.with_name(f".{target.path.name}.refstack-new")
    try:
        target.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:
            out.write(target.content)
            out.flush()
            os.fchmod(descriptor, target.mode)
            os.fsync(descriptor)
        fresh.replace(target.path)
        sync_folder(target.path.parent)
    except OSError as error:
        _drop(fresh)
        raise StepError(f"cannot write {target.path}", error.strerror or str(error), _todo(error)) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def snapshot(path: Path) -> Record:
    """Return what :func:`restore` needs: content, mode, and the parent folders that do not exist yet."""
    content = read(path)
    return {
        "path": str(path),
        "content": None if content is None else base64.b64encode(content).decode(),
        "mode": mode_of(path),
        "made": [str(folder) for folder in path.parents if not folder.exists()],
    }


def restore(record: Record) -> None:
    """Put a path back as it was and remove the empty folders that were made for it."""
    path = Path(record["path"])
    if record["content"] is None:
        path.unlink(missing_ok=True)
    else:
        write(TargetFile(path, base64.b64decode(record["content"]), int(record["mode"])))
    _drop(path.with_name(f".{path.name}.refstack-new"))
    for folder in record["made"]:
        try:
            os.rmdir(folder)
        except OSError:
            return


def remove_tree(path: Path) -> None:
    """Remove a folder and everything in it, if it exists."""
    if path.exists():
        shutil.rmtree(path)


def _drop(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _todo(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free space on that file system and run again"
    if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        return "run as root, on a writable file system"
    return "fix this and run again"
