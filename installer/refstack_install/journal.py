"""What was done to this machine, so that an interrupted step is picked up and everything can be undone.

One JSON file, replaced whole at every entry. ``begun`` is written before a step changes anything, ``done`` after it was
proved; an entry that is still ``begun`` when the installer starts belongs to a step that was killed halfway.
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
from refstack_install.step import Record
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
        """All entries, the oldest first: ``step``, ``state`` (``begun``, ``done``), ``record``."""
        return list(self._entries)

    @property
    def unfinished(self) -> Record | None:
        """The entry of the step that was interrupted, if one was."""
        last = self._entries[-1] if self._entries else None
        return last if last is not None and last["state"] == "begun" else None

    def begin(self, step: str, record: Record) -> None:
        """Note that a step is about to change things."""
        self._entries.append({"step": step, "state": "begun", "record": record})
        self._save()

    def done(self, record: Record) -> None:
        """Note that the step begun last is complete."""
        self._entries[-1] = {"step": self._entries[-1]["step"], "state": "done", "record": record}
        self._save()

    def drop_last(self) -> None:
        """Forget the last entry: it has been undone."""
        self._entries.pop()
        self._save()

    def keep_answers(self, text: str) -> None:
        """Keep the answers of an ``apply`` for a later ``verify`` or ``remove`` without any."""
        self._make_folder()
        wanted = files.Wanted(self.answers, text.encode(), 0o600)
        if not files.is_as(wanted):
            files.write(wanted)

    def erase(self) -> None:
        """Remove the journal: nothing of the installer's is left on the machine."""
        files.remove_tree(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other installers off this machine. :raises BusyError: one is at work."""
        self._make_folder()
        with open(self.folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError("another refstack-install is at work here", todo="wait for it to end") from None
            self._entries = self._load()
            yield

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(f"{self.folder} cannot be made", error.strerror or "", "run as root") from None

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
        raise StepError(
            f"{self.file} is not a journal of this installer", todo="look at it, then move it away and run again"
        )

    def _save(self) -> None:
        self._make_folder()
        text = json.dumps({"format": FORMAT, "entries": self._entries}, indent=1)
        files.write(files.Wanted(Path(self.file), text.encode(), 0o600))
