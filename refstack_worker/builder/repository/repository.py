"""A folder with a signed apt and a signed yum repository, served by any web server; what is recorded about it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refstack_worker.errors import BuildError
from refstack_worker.filesystem import make_folder, write_whole

RECORD = "repository.json"
KEYRING = "refstack-archive-keyring"


@dataclass(frozen=True)
class Record:
    """What is remembered from one publishing to the next."""

    keys: tuple[str, ...] = ()
    """Fingerprints of the keys that sign, the main one first."""
    url: str = ""
    """Base URL under which the folder is served; empty: not known."""
    suite: str = "stable"
    """apt's name for the one distribution in it."""
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read it. :raises ValueError: it is none (also ``KeyError``, ``TypeError``)."""
        data = json.loads(text)
        known = {"keys": tuple(data.pop("keys")), "url": data.pop("url", ""), "suite": data.pop("suite", "stable")}
        return cls(**known, extra=data)

    def to_json(self) -> bytes:
        """Return the content of the file."""
        data = asdict(self)
        return (json.dumps({**data.pop("extra"), **data}, indent=1, sort_keys=True) + "\n").encode()


@dataclass(frozen=True)
class Repository:
    root: Path

    @property
    def apt(self) -> Path:
        """Folder of the apt repository."""
        return self.root / "apt"

    @property
    def pool(self) -> Path:
        """Folder of the Debian packages."""
        return self.apt / "pool" / "main"

    @property
    def yum(self) -> Path:
        """Folder of the yum repository."""
        return self.root / "yum"

    @property
    def rpms(self) -> Path:
        return self.yum / "packages"

    def record(self) -> Record:
        """Return what is recorded; of a new repository, nothing.

        :raises BuildError: the record is damaged.
        """
        path = self.root / RECORD
        try:
            return Record.from_json(path.read_text())
        except FileNotFoundError:
            return Record()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BuildError(f"{path}: damaged ({error}); restore it from a backup") from error

    def remember(self, record: Record) -> None:
        write_whole(self.root / RECORD, record.to_json())

    @contextmanager
    def staged(self) -> Iterator[Repository]:
        """Give a copy of the repository to try a change with; what is done to it is gone afterwards.

        It shares its files with this one by hard links where it can: files of a repository are replaced, never written.
        """
        make_folder(self.root.absolute().parent)
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=self.root.absolute().parent) as name:
            copy = Path(name) / "repository"
            if self.root.is_dir():
                shutil.copytree(self.root, copy, copy_function=_linked, ignore=shutil.ignore_patterns(".*"))
            copy.parent.chmod(0o755)  # apt reads it as a user of its own
            yield Repository(copy)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time change the repository.

        :raises BuildError: another one does so now.
        """
        make_folder(self.root)
        with (self.root / ".lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BuildError(
                    f"{self.root}: another process is publishing there; try again when it is done"
                ) from None
            yield


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def replace_file(source: Path, target: Path) -> None:
    """Move a finished file into its place, all at once."""
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(source.read_bytes())
    temporary.chmod(0o644)
    temporary.rename(target)
