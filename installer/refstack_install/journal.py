"""A record of every change to this machine, so that interrupted steps are undone and everything can be removed.

The journal is one JSON file, replaced atomically for each entry. A step's entry is ``begun`` before it changes anything
and ``done`` after it was verified. An entry that is still ``begun`` at the next start belongs to an interrupted step.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refstack_install import files
from refstack_install.errors import BusyError, StepError
from refstack_install.files import Record
from refstack_install.system import System

FOLDER = "/var/lib/refstack-install"
FORMAT = 1


class Journal:
    """The journal of one machine."""

    def __init__(self, system: System) -> None:
        self.folder = system.path(FOLDER)
        self.file = self.folder / "journal.json"
        self.answers = self.folder / "answers.toml"
        self._entries: list[Record] = self._load()

    @property
    def entries(self) -> list[Record]:
        """All entries, oldest first: ``step``, ``state`` (``begun``, ``done``), ``record``."""
        return list(self._entries)

    @property
    def unfinished(self) -> Record | None:
        """The entry of an interrupted step, if there is one."""
        last = self._entries[-1] if self._entries else None
        return last if last is not None and last["state"] == "begun" else None

    def begin(self, step: str, record: Record) -> None:
        """Record that a step is about to make changes."""
        self._entries.append({"step": step, "state": "begun", "record": record})
        self._save()

    def done(self, record: Record) -> None:
        """Record that the last step is complete."""
        self._entries[-1] = {"step": self._entries[-1]["step"], "state": "done", "record": record}
        self._save()

    def drop_last(self) -> None:
        """Remove the last entry after it was undone."""
        self._entries.pop()
        self._save()

    def keep_answers(self, text: str) -> None:
        """Keep the answers of ``apply`` for later commands that are run without any."""
        self._make_folder()
        target = files.TargetFile(self.answers, text.encode(), 0o600)
        if not files.is_current(target):
            files.write(target)

    def erase(self) -> None:
        files.remove_tree(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the machine's lock. :raises BusyError: another installer holds it."""
        self._make_folder()
        with open(self.folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError("another refstack-install is running on this machine", todo="wait for it") from None
            self._entries = self._load()
            yield

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(f"cannot create {self.folder}", error.strerror or "", "run as root") from None

    def _load(self) -> list[Record]:
        content = files.read(self.file) if os.access(self.folder, os.R_OK) else None
        if content is None:
            return []
        try:
            tree: Any = json.loads(content)
            if tree["format"] == FORMAT:
                return list(tree["entries"])
        except (ValueError, KeyError, TypeError):
            pass
        raise StepError(f"{self.file} is not a journal that this installer can read", todo="move it away and run again")

    def _save(self) -> None:
        self._make_folder()
        text = json.dumps({"format": FORMAT, "entries": self._entries}, indent=1)
        files.write(files.TargetFile(Path(self.file), text.encode(), 0o600))
