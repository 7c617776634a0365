"""What a wheelhouse on the web offers: its list of locks, kept here so that a node can go on when the site is away."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any

from refstack_worker.environments.lock import LOCK_NAME
from refstack_worker.environments.wheels.download import Downloader, shown
from refstack_worker.errors import RefstackError, WheelError
from refstack_worker.filesystem import write_whole

LOG = logging.getLogger(__name__)

LIST = "wheelhouse.json"
"""Name of a wheelhouse's list of locks: ``{"format": 1, "locks": [{"path", "sha256", "size"}, …]}``."""

FORMAT = 1

REFRESH_SECONDS = 60.0
"""How old what is known of a site may be before it is asked again."""

VERSION_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")


class Site:
    """One wheelhouse on the web. What it offers is kept in a folder of the store."""

    def __init__(self, url: str, ca_file: str, cache: Path) -> None:
        self.url = url.rstrip("/")
        self.downloader = Downloader(ca_file)
        self.cache = cache / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.problem = ""
        """Why the last refresh failed; empty when it did not."""
        self._due = 0.0
        self._busy = threading.Lock()

    def locks(self) -> list[Path]:
        """Return the lock files that the site offers, as copies on this machine.

        Refreshes in the background when it is due; only a site that was never seen is waited for.
        """
        if time.monotonic() >= self._due:
            if (self.cache / LIST).exists():
                threading.Thread(target=self.refresh, daemon=True, name="wheelhouse").start()
                self._due = time.monotonic() + REFRESH_SECONDS
            else:
                self.refresh()
        return [self.cache / entry["path"] for entry in self._listed() if (self.cache / entry["path"]).exists()]

    def refresh(self) -> None:
        """Ask the site what it offers; when it is away, what is known stays."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            self._due = time.monotonic() + REFRESH_SECONDS
            self._refresh()
            self.problem = ""
        except RefstackError as error:
            if str(error) != self.problem:
                LOG.warning("wheelhouse %s; continuing with its last known contents", error)
            self.problem = str(error)
        except OSError as error:
            self.problem = f"{self.cache}: {error.strerror}"
        finally:
            self._busy.release()

    def _refresh(self) -> None:
        known = self.cache / LIST
        answer = self.downloader.page(f"{self.url}/{LIST}")
        if answer.status_code != 200:
            raise WheelError(f"{shown(self.url)}: has no {LIST}; is this the address of a wheelhouse?")
        if known.exists() and known.read_bytes() == answer.content:
            return
        for entry in entries_of(answer.content, f"{shown(self.url)}/{LIST}"):
            self._get(entry)
        write_whole(known, answer.content)

    def _get(self, entry: dict[str, Any]) -> None:
        target = self.cache / entry["path"]
        if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == entry["sha256"]:
            return
        content = self.downloader.page(f"{self.url}/{entry['path']}").content
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise WheelError(f"{shown(self.url)}/{entry['path']}: differs from what {LIST} says; publish it again")
        write_whole(target, content)

    def _listed(self) -> list[dict[str, Any]]:
        try:
            return entries_of((self.cache / LIST).read_bytes(), str(self.cache / LIST))
        except (OSError, WheelError):
            return []


def entries_of(content: bytes, where: str) -> list[dict[str, Any]]:
    """Return the entries of a list of locks.

    :raises WheelError: it is none, or names a path that leaves the wheelhouse.
    """
    try:
        data = json.loads(content)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}: this software reads {FORMAT}; upgrade it")
        for entry in data["locks"]:
            folder, _, name = entry["path"].partition("/")
            if not VERSION_FOLDER.fullmatch(folder) or not LOCK_NAME.fullmatch(name):
                raise ValueError(f"{entry['path']!r} is not <version>/pylock….toml")
            if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
                raise ValueError(f"{entry['path']}: no SHA-256")
        return list(data["locks"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WheelError(f"{where}: is not a list of locks: {error}") from error
