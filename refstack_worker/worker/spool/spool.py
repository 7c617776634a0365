"""What the server has not accepted yet: results and final reports, kept on disk until it does.

An entry is a folder with ``entry.json``, the sealed payload (opened again when needed, so the disk holds no secret in
clear) and, for a result, its files. It is written under a temporary name, synced and renamed, so that it is complete or
does not exist, even after ``kill -9`` or a power cut.
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
INCOMPLETE = ".new-"
"""Prefix of the name of an entry until it is complete."""

RESULT = "result"
REPORT = "report"
RELEASE = "release"

MAX_FILES = 16
"""Files of one entry; a result has four, and two more describe the entry."""
FULL = "the spool has reached spool.limit_mb"


@dataclass(frozen=True)
class SpoolEntry:
    """One thing that the server has yet to accept."""

    name: str
    """Name of its folder."""
    kind: str
    """``result``: post the files; ``report``: a final state; ``release``: give the attempt up."""
    test_id: int
    attempt: int
    callback: str
    """Base URL of its server."""
    claim: str = field(repr=False)
    worker: str
    tempest_version: str
    since: float
    """When it was stored; seconds since the epoch, as all times here."""
    status: str = ""
    reason: str = ""
    message: str = ""
    """Text of a report."""
    heartbeat_seconds: float = 2.0
    tries: int = 0
    next_try: float = 0.0
    error: str = ""
    """Why the last attempt to send it failed."""

    @property
    def run(self) -> str:
        """The attempt in messages: ``<test id>:<attempt>``."""
        return f"{self.test_id}:{self.attempt}"

    @classmethod
    def of(cls, claimed: ClaimedAttempt, kind: str, **more: Any) -> SpoolEntry:
        """Return an entry for a claimed attempt."""
        payload = claimed.payload
        name = f"{payload.test_id}-{payload.attempt}-{kind}-{claimed.claim[:8]}"
        return cls(
            name, kind, payload.test_id, payload.attempt, payload.callback, claimed.claim, claimed.worker,
            claimed.tempest_version, time.time(), **more,
        )  # fmt: skip


class Spool:
    """The folder with the entries."""

    def __init__(self, folder: Path, settings: SpoolSettings) -> None:
        self.folder = folder
        self._settings = settings
        self._unwritten: dict[str, SpoolEntry] = {}
        """Entries that have changed since a full disk last took them."""

    def prepare(self) -> None:
        """Create the folder and remove incomplete entries. :raises SpoolError: it is not writable."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in self.folder.glob(f"{INCOMPLETE}*"):
                remove_tree(path)
        except OSError as error:
            why = error.strerror or error
            raise SpoolError(f"{self.folder}: {why}; it must belong to the worker's user") from error

    def entries(self) -> list[SpoolEntry]:
        """Return the entries, oldest first; unreadable ones are logged and left out."""
        entries = []
        for path in self.folder.glob(f"*/{ENTRY}"):
            if path.parent.name.startswith(INCOMPLETE):
                continue
            try:
                entry = _entry(path)
                entries.append(self._unwritten.get(entry.name, entry))
            except FileNotFoundError:
                continue  # sent and removed meanwhile
            except (OSError, ValueError, TypeError) as error:
                LOG.error("%s: damaged (%s); inspect the folder, then remove it", path, error)
        return sorted(entries, key=lambda entry: entry.since)

    def find(self, name: str) -> SpoolEntry:
        """Return one entry by its name, ``<test id>:<attempt>`` or test id. :raises NotFoundError: there is none."""
        for entry in self.entries():
            if name in (entry.name, entry.run, str(entry.test_id)):
                return entry
        raise NotFoundError(f"the spool has no entry {name!r}; 'refstack-worker spool list' shows them")

    def claimed(self, entry: SpoolEntry, opener: Opener) -> ClaimedAttempt:
        """Return the attempt of an entry, opening its payload again.

        :raises PayloadError: the node's keys no longer open it.
        :raises SpoolError: the file has gone.
        """
        try:
            envelope = (self.path(entry) / PAYLOAD).read_bytes()
        except OSError as error:
            raise SpoolError(f"{self.path(entry)}: {error.strerror}") from error
        return ClaimedAttempt(opener.open(envelope), envelope, entry.claim, entry.worker, entry.tempest_version)

    def path(self, entry: SpoolEntry) -> Path:
        """Return the folder of an entry."""
        return self.folder / entry.name

    def add(self, claimed: ClaimedAttempt, entry: SpoolEntry) -> None:
        """Store an entry without files. :raises SpoolError: it cannot be written."""
        with self.writer(claimed) as writer:
            writer.keep(entry)

    def writer(self, claimed: ClaimedAttempt) -> SpoolWriter:
        """Return a writer for the files of an entry; they are removed unless it is asked to keep them."""
        return SpoolWriter(self, claimed, self._settings.limit_mb * 2**20)

    def failed(self, entry: SpoolEntry, error: str) -> SpoolEntry:
        """Record a failed try; the wait until the next one doubles."""
        wait = min(self._settings.first_retry * 2 ** min(entry.tries, 30), self._settings.last_retry)
        updated = dataclasses.replace(entry, tries=entry.tries + 1, next_try=time.time() + wait, error=error[:500])
        self._write(updated)
        return updated

    def due_now(self, entry: SpoolEntry) -> SpoolEntry:
        """Make an entry due at once."""
        updated = dataclasses.replace(entry, next_try=0.0)
        self._write(updated)
        return updated

    def is_due(self, entry: SpoolEntry) -> bool:
        """Return whether to try an entry now; a clock that jumped back does not delay it."""
        wait = entry.next_try - time.time()
        return wait <= 0 or wait > self._settings.last_retry

    def is_too_old(self, entry: SpoolEntry) -> bool:
        """Return whether an entry is older than ``spool.keep_days``."""
        return time.time() - entry.since > self._settings.keep_days * 86400

    def remove(self, entry: SpoolEntry) -> None:
        """Remove an entry: the server has it, or no longer wants it."""
        removed = self.folder / f"{INCOMPLETE}gone-{entry.name}"
        self._unwritten.pop(entry.name, None)
        try:
            self.path(entry).rename(removed)
            remove_tree(removed)
        except OSError as error:
            LOG.error("%s: cannot be removed: %s", self.path(entry), error.strerror)

    def size(self) -> int:
        """Return the size of all entries in bytes."""
        total = 0
        for path in self.folder.glob("*/*"):
            with suppress(OSError):  # sent and removed meanwhile
                if path.is_file() and not path.parent.name.startswith(INCOMPLETE):
                    total += path.stat().st_size
        return total

    def _write(self, entry: SpoolEntry) -> None:
        try:
            if self.path(entry).is_dir():
                write_whole(self.path(entry) / ENTRY, _text(entry), 0o600)
                self._unwritten.pop(entry.name, None)
                if not (self.path(entry) / PAYLOAD).exists():
                    # another thread removed it meanwhile, and that made its folder again
                    remove_tree(self.path(entry))
        except OSError as error:
            # without it the entry would be due at once, again and again
            self._unwritten[entry.name] = entry
            LOG.warning("%s: %s; its tries are counted in memory", self.path(entry), error.strerror)


class SpoolWriter:
    """``with spool.writer(claimed) as writer``: takes files in pieces; :meth:`keep` makes an entry of them."""

    def __init__(self, spool: Spool, claimed: ClaimedAttempt, limit: int) -> None:
        self._spool = spool
        self._claimed = claimed
        self._folder = (
            spool.folder / f"{INCOMPLETE}{claimed.payload.test_id}-{claimed.payload.attempt}-{os.urandom(4).hex()}"
        )
        self._left = limit
        self._files: dict[str, BinaryIO] = {}
        self.problem = ""
        """Why the files cannot be kept; empty while they can."""

    def __enter__(self) -> SpoolWriter:
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
        """Names of the files so far."""
        return sorted(self._files)

    def write(self, name: str, data: bytes) -> None:
        """Take a piece of a file. A full disk or spool is recorded in :attr:`problem`: the run has other ways out."""
        if self.problem:
            return
        try:
            self._write(name, data)
        except OSError as error:
            self.problem = f"{self._spool.folder}: {error.strerror}"

    def keep(self, entry: SpoolEntry) -> None:
        """Make it a permanent entry. :raises SpoolError: the disk or the spool is full."""
        try:
            if self.problem:
                raise OSError(errno.EIO, self.problem.partition(": ")[2])
            if self._left - self._spool.size() < 0:
                raise OSError(errno.ENOSPC, FULL)
            self._write(PAYLOAD, self._claimed.envelope)
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
                raise OSError(errno.EINVAL, f"invalid file name {name!r}")
            if len(self._files) >= MAX_FILES:
                raise OSError(errno.EMFILE, f"an entry has more than {MAX_FILES} files")
            self._folder.mkdir(mode=0o700, exist_ok=True)
            number = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._files[name] = open(number, "wb")  # noqa: SIM115 - closed when the writer is left
        if len(data) > self._left:
            raise OSError(errno.ENOSPC, FULL)
        self._left -= len(data)
        self._files[name].write(data)


def _close_quietly(stream: BinaryIO) -> None:
    try:
        stream.close()
    except OSError as error:
        LOG.debug("%s", error)  # the file will be removed


def _entry(path: Path) -> SpoolEntry:
    value = json.loads(path.read_bytes())
    if not isinstance(value, Mapping):
        raise ValueError("not a JSON object")
    fields = {item.name for item in dataclasses.fields(SpoolEntry)}
    return SpoolEntry(**{**{key: item for key, item in value.items() if key in fields}, "name": path.parent.name})


def _text(entry: SpoolEntry) -> bytes:
    return json.dumps(dataclasses.asdict(entry), indent=1).encode()
