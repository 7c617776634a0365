"""Backups: one archive with the whole database as it was at one moment, and the server's keys.

    tables/<name>.jsonl   every row
    keys/<name>           the key files that refstack.cfg names, and their other halves
    manifest.json         revision, version, time, and the SHA-256 of each other member

It holds all secrets of the server; its mode is 0600.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from refstack_worker.config.server import KeySettings
from refstack_worker.errors import BackupError
from refstack_worker.filesystem import disk_errors, sha256_of
from refstack_worker.server.db import copy_rows, migrate
from refstack_worker.server.db.database import Database

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class BackupManifest:
    """What a backup says of itself."""

    revision: str
    """Of the database."""
    software: str
    made_at: str
    rows: dict[str, int]
    """Table to number of rows."""
    files: dict[str, str]
    """Member to SHA-256."""
    format: int = FORMAT


def create(database: Database, target: Path, keys: Sequence[Path], software: str) -> BackupManifest:
    """Write a backup. Runs, nodes and users go on meanwhile: it shows one moment.

    :param keys: the server's key files.
    :raises BackupError: the target exists or has no folder, two keys have one name, or the disk is full.
    """
    if target.exists():
        raise BackupError(f"{target}: exists already; name a new file")
    if not target.absolute().parent.is_dir():
        raise BackupError(f"{target}: there is no folder {target.parent}; create it, or name another file")
    if len({path.name for path in keys}) < len(keys):
        raise BackupError(f"two key files have the same name, one would be lost: {', '.join(map(str, keys))}")
    migrate.check(database)
    folder = target.absolute().parent
    with (
        _disk_errors(f"backup {target}", folder, "name a file on another disk"),
        tempfile.TemporaryDirectory(prefix=".backup-", dir=folder) as name,
    ):
        work = Path(name)  # its mode is 0700
        for part in ("tables", "keys"):
            (work / part).mkdir()
        with database.snapshot() as connection:
            rows = copy_rows.write(connection, work / "tables")
        for path in keys:
            shutil.copyfile(path, work / "keys" / path.name)
        files = {str(path.relative_to(work)): _digest(path) for path in sorted(work.rglob("*")) if path.is_file()}
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        manifest = BackupManifest(migrate.current(database), software, now, rows, files)
        (work / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _pack(work, [MANIFEST, *files], target)
    return manifest


@contextmanager
def opened(path: Path) -> Iterator[tuple[Path, BackupManifest]]:
    """Unpack a backup, verified, into a folder that is gone afterwards.

    :raises BackupError: it is none, damaged, or of a newer format.
    """
    if not path.is_file():
        raise BackupError(f"{path}: no such file")
    with ExitStack() as stack:
        with _disk_errors(f"unpacking {path}", Path(tempfile.gettempdir()), "set TMPDIR to another folder"):
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refstack-restore-")))
            manifest = _unpacked(path, work)
        if manifest.format != FORMAT:
            raise BackupError(f"{path}: format {manifest.format}; this software reads {FORMAT}: upgrade it")
        there = {str(one.relative_to(work)) for one in work.rglob("*") if one.is_file()} - {MANIFEST}
        if more := sorted(there - set(manifest.files)):
            raise BackupError(f"{path}: the manifest does not name {', '.join(more)}; take another backup")
        for name_in_it, digest in manifest.files.items():
            if not (work / name_in_it).is_file() or _digest(work / name_in_it) != digest:
                raise BackupError(f"{path}: {name_in_it} is missing or damaged; take another backup")
        yield work, manifest


def restore(
    database: Database, folder: Path, manifest: BackupManifest, settings: KeySettings, replace: bool = False
) -> list[Path]:
    """Put key files and rows of a backup back; return the key files that were missing.

    :param replace: delete what the database holds.
    :raises BackupError: as :func:`restore_keys` and :func:`load`; no key file was added if no row was.
    """
    restored = restore_keys(folder, settings)
    taken_back = list(restored)
    try:
        # rows without their keys are lost; keys without rows are found again by the next try
        load(database, folder, manifest, replace, before_commit=taken_back.clear)
    except BaseException:
        _remove(taken_back)
        raise
    return restored


def load(
    database: Database,
    folder: Path,
    manifest: BackupManifest,
    replace: bool = False,
    before_commit: Callable[[], None] = lambda: None,
) -> None:
    """Put the rows of a backup into a database, and bring it to the revision of this software.

    :param replace: delete what is there.
    :param before_commit: called when all rows have been read; whatever fails later, they may be there.
    :raises BackupError: the database is not empty, or the backup is of newer software.
    """
    _to_revision(database, manifest, replace)
    with database.writing() as connection:
        if not replace and (found := copy_rows.contents(connection)):
            raise BackupError(
                f"the database has {copy_rows.described(found)}; name an empty one in DATABASE_URL, or delete what is "
                "there: --replace"
            )
        copy_rows.empty(connection)  # what is to be replaced, or a service has noted by itself
        copy_rows.read(connection, folder / "tables")
        before_commit()
    migrate.upgrade(database)


def key_paths(settings: KeySettings, others: Sequence[Path | None]) -> list[Path]:
    """Return the server's key files that are there, with their other halves beside them."""
    named = [settings.sign, settings.fleet, settings.store, *(path for path in others if path is not None)]
    halves = [path.with_suffix(suffix) for path in named for suffix in (".key", ".pub")]
    return list(dict.fromkeys(path for path in [*named, *halves] if path.is_file()))


def restore_keys(folder: Path, settings: KeySettings) -> list[Path]:
    """Put key files back that are missing, and return them.

    :raises BackupError: one is there with another content; nothing has changed then.
    """
    targets = {path.name: settings.sign.parent / path.name for path in sorted((folder / "keys").glob("*"))}
    for path in (settings.sign, settings.fleet, settings.store):
        if path.name in targets:
            targets[path.name] = path
    for name, target in targets.items():
        if target.exists() and target.read_bytes() != (folder / "keys" / name).read_bytes():
            raise BackupError(
                f"{target}: differs from the key in the backup, whose keys are needed to read the stored passwords; "
                "move this file away and restore again"
            )
    restored: list[Path] = []
    try:
        for name, target in targets.items():
            if not target.exists():
                with _disk_errors(f"key file {target}", target.parent, "set another KEY_FOLDER"):
                    _write_key(folder / "keys" / name, target, restored)
    except BaseException:
        _remove(restored)
        raise
    return restored


def _write_key(source: Path, target: Path, restored: list[Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if target.suffix == ".pub" else 0o600)
    restored.append(target)
    with open(descriptor, "wb") as file:
        file.write(source.read_bytes())


def _remove(files: Sequence[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _to_revision(database: Database, manifest: BackupManifest, replace: bool) -> None:
    known = migrate.current(database)
    if manifest.revision > migrate.newest():
        raise BackupError(
            f"the backup is of revision {manifest.revision}, this software knows {migrate.newest()}: upgrade it"
        )
    if not known or known < manifest.revision:
        migrate.upgrade(database, manifest.revision)
    elif known > manifest.revision:
        with database.reading() as connection:
            found = copy_rows.contents(connection)
        # the way down would lose parts of runs before it is certain that the backup can be read
        if found and (not replace or {"test", "queue_run"} & set(found)):
            raise BackupError(
                "the backup is of an older revision than this database, which has "
                f"{copy_rows.described(found)}; name an empty one in DATABASE_URL"
            )
        migrate.downgrade(database, manifest.revision)


def _pack(work: Path, names: Sequence[str], target: Path) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name in names:
                archive.add(work / name, name, recursive=False)
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _disk_errors(what: str, folder: Path, otherwise: str) -> Iterator[None]:
    """Raise :class:`BackupError` in place of an :class:`OSError`. :param otherwise: to do, besides freeing space."""
    todo = f"free up space there, or {otherwise}"
    with disk_errors(what, todo, BackupError):
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # the error names the file that was being read or written, also one on another disk
            raise BackupError(f"{what}: the disk of {folder} is full ({error.strerror}); {todo}") from error


def _unpacked(path: Path, work: Path) -> BackupManifest:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                _unpack(archive, member, work)
        return BackupManifest(**json.loads((work / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, tarfile.TarError, ValueError, TypeError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        # tarfile adds a line for every kind of compression that it tried
        cause = str(error).partition(":\n")[0]
        raise BackupError(f"{path}: not a whole backup of refstack-queue: {cause}") from error


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, work: Path) -> None:
    path = Path(member.name)
    if not member.isfile() or path.is_absolute() or ".." in path.parts or len(path.parts) > 2:
        raise ValueError(f"unexpected member {member.name!r}")
    target = work / path
    target.parent.mkdir(exist_ok=True)
    source: Any = archive.extractfile(member)
    with target.open("xb") as file:
        shutil.copyfileobj(source, file)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return sha256_of(stream)
