"""What could not be told to the server: results and last words, kept on disk until they can.

An entry is a folder with ``entry.json``, the sealed payload (opened again when needed, so no secret lies there in
clear) and, for a result, its files. It is made under a temporary name, synced, and renamed, so it is there whole or not
at all, also after ``kill -9`` or a power cut.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from refstack_worker.config.worker import SpoolSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.errors import NotFoundError, SpoolError
from refstack_worker.filesystem import remove_tree, sync_folder, write_whole
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

LOG = logging.getLogger(__name__)

ENTRY = "entry.json"
PAYLOAD = "payload"
FRESH = ".new-"
"""What the name of an entry begins with until it is whole."""

RESULT = "result"
REPORT = "report"
RELEASE = "release"


@dataclass(frozen=True)
class Entry:
    """One thing that is still to be told."""

    name: str
    """Its folder's name."""
    kind: str
    """``result``: post the files; ``report``: a last state; ``release``: give the attempt back."""
    test_id: int
    attempt: int
    callback: str
    """The server that it is for."""
    claim: str = field(repr=False)
    worker: str
    tempest_version: str
    since: float
    """When it came here; seconds since the epoch, as the other times."""
    status: str = ""
    reason: str = ""
    message: str = ""
    """Of a report."""
    heartbeat_seconds: float = 2.0
    tries: int = 0
    next_try: float = 0.0
    error: str = ""
    """Why the last try failed."""

    @property
    def run(self) -> str:
        """``<test id>:<attempt>``."""
        return f"{self.test_id}:{self.attempt}"

    @classmethod
    def of(cls, held: ClaimedAttempt, kind: str, **more: Any) -> Entry:
        """Return an entry for an attempt that this worker holds."""
        payload = held.payload
        name = f"{payload.test_id}-{payload.attempt}-{kind}-{held.claim[:8]}"
        return cls(
            name, kind, payload.test_id, payload.attempt, payload.callback, held.claim, held.worker,
            held.tempest_version, time.time(), **more,
        )  # fmt: skip


class Spool:
    """The folder of entries."""

    def __init__(self, folder: Path, settings: SpoolSettings) -> None:
        self.folder = folder
        self._settings = settings

    def prepare(self) -> None:
        """Make the folder; remove what never became whole. :raises SpoolError: it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in self.folder.glob(f"{FRESH}*"):
                remove_tree(path)
        except OSError as error:
            why = error.strerror or error
            raise SpoolError(f"{self.folder}: {why}; it must belong to the worker's user") from error

    def entries(self) -> list[Entry]:
        """Return what is there, oldest first; what is not readable is left out and said."""
        found = []
        for path in self.folder.glob(f"*/{ENTRY}"):
            if path.parent.name.startswith(FRESH):
                continue
            try:
                found.append(_entry(path))
            except FileNotFoundError:
                continue  # told meanwhile
            except (OSError, ValueError, TypeError) as error:
                LOG.error("%s: damaged (%s); look at it, then remove the folder", path, error)
        return sorted(found, key=lambda entry: entry.since)

    def find(self, name: str) -> Entry:
        """Return one entry by name, or by ``<test id>:<attempt>``. :raises NotFoundError: it is not there."""
        for entry in self.entries():
            if name in (entry.name, entry.run, str(entry.test_id)):
                return entry
        raise NotFoundError(f"spool: nothing is kept of {name!r}; 'refstack-worker spool list' shows what is")

    def held(self, entry: Entry, opener: Opener) -> ClaimedAttempt:
        """Return the attempt of an entry, its payload opened again.

        :raises PayloadError: the node's keys no longer open it.
        :raises SpoolError: the file is gone.
        """
        try:
            envelope = (self.path(entry) / PAYLOAD).read_bytes()
        except OSError as error:
            raise SpoolError(f"{self.path(entry)}: {error.strerror}") from error
        return ClaimedAttempt(opener.open(envelope), envelope, entry.claim, entry.worker, entry.tempest_version)

    def path(self, entry: Entry) -> Path:
        """Return the folder of an entry."""
        return self.folder / entry.name

    def add(self, held: ClaimedAttempt, entry: Entry) -> None:
        """Keep something without files. :raises SpoolError: the disk does not take it."""
        with self.writer(held) as writer:
            writer.keep(entry)

    def writer(self, held: ClaimedAttempt) -> Writer:
        """Return what takes the files of an entry; nothing stays of it unless it is told to keep them."""
        return Writer(self, held, self._settings.limit_mb * 2**20)

    def failed(self, entry: Entry, error: str) -> Entry:
        """Note that a try failed; the next comes after twice the time."""
        wait = min(self._settings.first_retry * 2 ** min(entry.tries, 30), self._settings.last_retry)
        noted = dataclasses.replace(entry, tries=entry.tries + 1, next_try=time.time() + wait, error=error[:500])
        self._write(noted)
        return noted

    def due_now(self, entry: Entry) -> Entry:
        """Make an entry be tried at once."""
        noted = dataclasses.replace(entry, next_try=0.0)
        self._write(noted)
        return noted

    def is_due(self, entry: Entry) -> bool:
        """Return whether an entry is to be tried now; a clock that jumped back does not make it wait."""
        wait = entry.next_try - time.time()
        return wait <= 0 or wait > self._settings.last_retry

    def is_too_old(self, entry: Entry) -> bool:
        """Return whether an entry has been kept for as long as the settings say."""
        return time.time() - entry.since > self._settings.keep_days * 86400

    def remove(self, entry: Entry) -> None:
        """Forget an entry: it was told, or nobody wants it any more."""
        gone = self.folder / f"{FRESH}gone-{entry.name}"
        try:
            self.path(entry).rename(gone)
            remove_tree(gone)
        except OSError as error:
            LOG.error("%s: cannot be removed: %s", self.path(entry), error.strerror)

    def size(self) -> int:
        """Return the bytes of all entries."""
        found = 0
        for path in self.folder.glob("*/*"):
            with suppress(OSError):  # told and removed meanwhile
                if path.is_file() and not path.parent.name.startswith(FRESH):
                    found += path.stat().st_size
        return found

    def _write(self, entry: Entry) -> None:
        try:
            if self.path(entry).is_dir():
                write_whole(self.path(entry) / ENTRY, _text(entry), 0o600)
        except OSError as error:
            LOG.warning("%s: %s; it stays as it was", self.path(entry), error.strerror)


class Writer:
    """``with spool.writer(held) as writer``: files come in pieces; :meth:`keep` makes an entry of them."""

    def __init__(self, spool: Spool, held: ClaimedAttempt, limit: int) -> None:
        self._spool = spool
        self._held = held
        self._folder = spool.folder / f"{FRESH}{held.payload.test_id}-{held.payload.attempt}-{os.urandom(4).hex()}"
        self._left = limit
        self._files: dict[str, BinaryIO] = {}
        self.problem = ""
        """Why what comes in cannot be kept; empty while it can."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._files.values():
            _close_quietly(stream)
        try:
            remove_tree(self._folder)
        except OSError as error:
            LOG.error("%s: cannot be removed: %s", self._folder, error.strerror)

    @property
    def names(self) -> list[str]:
        """The files so far."""
        return sorted(self._files)

    def write(self, name: str, data: bytes) -> None:
        """Take a piece of a file. A disk that is full is noted in :attr:`problem`, for the run has other ways out."""
        if self.problem:
            return
        try:
            self._write(name, data)
        except OSError as error:
            self.problem = f"{self._spool.folder}: {error.strerror}"

    def keep(self, entry: Entry) -> None:
        """Make it an entry that lasts. :raises SpoolError: the disk does not take it."""
        try:
            if self.problem:
                raise OSError(errno.EIO, self.problem.partition(": ")[2])
            if self._left - self._spool.size() < 0:
                raise OSError(errno.ENOSPC, "the spool is as large as spool.limit_mb allows")
            self._write(PAYLOAD, self._held.envelope)
            self._write(ENTRY, _text(entry))
            for stream in self._files.values():
                stream.flush()
                os.fsync(stream.fileno())
            sync_folder(self._folder)
            self._folder.rename(self._spool.path(entry))
            sync_folder(self._spool.folder)
        except OSError as error:
            self.problem = f"{self._spool.folder}: {error.strerror}"
        if self.problem:
            raise SpoolError(f"{self.problem}; make room")

    def _write(self, name: str, data: bytes) -> None:
        if name not in self._files:
            if os.path.basename(name) != name or name in ("", ".", ".."):
                raise OSError(errno.EINVAL, f"{name!r} is no name of a file")
            self._folder.mkdir(mode=0o700, exist_ok=True)
            number = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._files[name] = open(number, "wb")  # noqa: SIM115 - closed when the writer is left
        self._left -= len(data)
        self._files[name].write(data)


def _close_quietly(stream: BinaryIO) -> None:
    try:
        stream.close()
    except OSError as error:
        LOG.debug("%s", error)  # what could not be written is going to be removed


def _entry(path: Path) -> Entry:
    value = json.loads(path.read_bytes())
    if not isinstance(value, Mapping):
        raise ValueError("no JSON object")
    known = {item.name for item in dataclasses.fields(Entry)}
    return Entry(**{**{key: item for key, item in value.items() if key in known}, "name": path.parent.name})


def _text(entry: Entry) -> bytes:
    return json.dumps(dataclasses.asdict(entry), indent=1).encode()
