"""Small file operations that the store rests on: all or nothing, safe against a crash, and right about modes."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from refstack_worker.errors import RefstackError, StoreError

CHUNK = 1 << 20
"""Bytes read at once when hashing or copying."""

DEEPEST = 50
LONGEST = 3000
"""Folders within folders, and bytes of a path, up to which a tree is removed as it stands."""

FOLDER_MODE = 0o755
"""Of folders that another user, the one who runs the tests, must be able to pass."""


def sha256_of(stream: BinaryIO) -> str:
    """Return the SHA-256 of what is left of a stream, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def make_folder(path: Path) -> Path:
    """Make a folder, with its parents, that everyone may pass whatever the umask says."""
    if not path.is_dir():
        make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir()
            path.chmod(FOLDER_MODE)
    return path


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that it is seen whole or not at all, also after a power cut."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed :func:`write_whole` left in a folder."""
    for path in folder.glob(".*.*.*"):
        pid = path.name.split(".")[-2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            path.unlink(missing_ok=True)


def write_plainly(path: Path, content: bytes, mode: int = 0o444) -> None:
    """Write a file with exactly that mode; that it reaches the disk is seen to for a whole batch, or not needed."""
    path.write_bytes(content)
    path.chmod(mode)


def place(source: str, target: str) -> None:
    """Give a file, or a link, of the store another name: a hard link, which costs neither inode nor disk.

    Where that cannot be (another file system, too many names already) it is copied.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        shutil.copy2(source, target, follow_symlinks=False)


def sync_folder(path: Path) -> None:
    """Make the names in a folder (a rename, say) survive a power cut."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_file_system(path: Path) -> None:
    """Write everything that is pending on the file system of ``path`` to the disk (``syncfs(2)``).

    One call for thousands of new files: an ``fsync`` for each would take as long as unpacking them.

    :raises OSError: the disk could not take it.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(number) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(number)


def remove_tree(path: Path, tries: int = 10) -> None:
    """Remove a folder and what is below it, read-only folders too; links are removed, never followed.

    However deep it is: what is too deep for a path or for calls within calls is brought up to the top first. What is
    missing is fine. What others put in meanwhile (a killed process's last writes) goes too.
    """
    while True:
        lifted = _clear(path, path, 0)
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not (lifted or tries):
                raise
            tries -= not lifted


def _clear(path: Path, top: Path, depth: int) -> bool:
    """Remove what is in a folder. :returns: whether some of it was only brought up to the top."""
    lifted = False
    for entry in _entries(path):
        if not entry.is_dir(follow_symlinks=False):
            with suppress(FileNotFoundError):
                os.unlink(entry.path)
        elif depth >= DEEPEST or len(os.fsencode(entry.path)) > LONGEST:
            with suppress(FileNotFoundError):
                # its ".." changes, so its owner has to be allowed to write into it
                os.chmod(entry.path, stat.S_IRWXU)
                os.rename(entry.path, top / os.urandom(16).hex())
                lifted = True
        else:
            lifted |= _clear(Path(entry.path), top, depth + 1)
            try:
                os.rmdir(entry.path)
            except OSError as error:
                # what came in meanwhile goes the next time
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise
    return lifted


def _entries(path: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, and see to it that it can be removed."""
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return []
    except PermissionError:
        os.chmod(path, stat.S_IRWXU)
        entries = list(os.scandir(path))
    if entries and not os.access(path, os.W_OK | os.X_OK):
        os.chmod(path, stat.S_IRWXU)
    return entries


@contextmanager
def disk_errors(
    what: str,
    when_full: str = "free up space, or move the store, and try again",
    kind: type[RefstackError] = StoreError,
) -> Iterator[None]:
    """Turn what a disk says (full, read-only, not ours) into one sentence about ``what``.

    :param when_full: what to do about a full one.
    :raises StoreError: (or ``kind``) in place of an :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        hint = {
            errno.ENOSPC: when_full,
            errno.EDQUOT: when_full,
            errno.EROFS: "it must be on a writable file system",
            errno.EACCES: "it must belong to the user that runs this",
            errno.EPERM: "it must belong to the user that runs this",
        }.get(error.errno or 0, "look at the disk")
        raise kind(f"{what}{where}: {error.strerror or error}; {hint}") from error
