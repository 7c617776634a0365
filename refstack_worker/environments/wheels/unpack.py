"""From a wheel to a store entry: check that it is harmless, unpack it with ``installer``, list what came of it.

An entry is a folder with ``site/`` (what goes to ``site-packages``), ``scripts/``, ``data/`` and ``headers/``, and a
manifest. Console scripts are not made here: they name an environment's interpreter, so each environment makes its own.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterable
from configparser import ConfigParser
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from installer.destinations import WheelDestination
from installer.records import Hash, RecordEntry
from installer.sources import WheelFile
from installer.utils import construct_record_file, copyfileobj_with_hashing

import installer
from refstack_worker.errors import StoreError, WheelError
from refstack_worker.filesystem import disk_errors

MANIFEST = "entry.json"
"""Name of the file in an entry that says what else is in it."""

TIMESTAMP = 946684800
"""Modification time of every file in the store (2000-01-01); byte-code records it, so it is the same everywhere."""

MAX_UNPACKED = 1 << 30
"""Bytes that one wheel may become."""

MAX_RATIO = 200
"""How many times larger than its archive what is unpacked may be; text compresses 5 times, a bomb 1000 times."""

RATIO_FREE = 16 << 20
"""Bytes below which the ratio does not matter."""

MAX_FILES = 50_000
"""Files that one wheel may hold."""

TWICE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
"""What the system says when one member's name is in another's way."""

LIKE_DATA = re.compile(r"[^/]*-[^/]*\.data(?!/)")
"""A member for which ``installer`` looks for the data folder above it, for ever, because there is none."""

CALLABLE = re.compile(r"[\w.]+\s*:\s*[\w.]+\s*(?:\[.*\])?\s*")
"""What a script calls, as the specification of entry points has it: ``MODULE:FUNCTION``, and extras behind it."""

SCHEMES = {"purelib": "site", "platlib": "site", "scripts": "scripts", "data": "data", "headers": "headers"}
"""Where a part of a wheel goes in an entry."""

PREFIXES = {"site": "", "scripts": "../../../bin/", "data": "../../../"}
"""How ``RECORD`` names the parts, seen from ``lib/pythonX.Y/site-packages``."""


@dataclass(frozen=True)
class Manifest:
    """What is in a store entry."""

    wheel: str
    """File name of the wheel that it is from."""
    sha256: str
    distribution: str
    files: dict[str, tuple[str, int, bool]]
    """Path in the entry (POSIX): SHA-256, bytes, executable or not."""
    entry_points: tuple[tuple[str, str, str, str], ...] = ()
    """Console and GUI scripts: name, module, attribute, section (``console`` or ``gui``)."""

    def to_json(self) -> bytes:
        """Return the content of the manifest file."""
        return json.dumps(vars(self), sort_keys=True).encode()  # with an indent it takes four times as long

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Read a manifest file's content.

        :raises ValueError: it is not one (also ``KeyError`` and ``TypeError``, as what is wrong has it).
        """
        data = json.loads(content)
        files = {path: (str(d), int(size), bool(run)) for path, (d, size, run) in data["files"].items()}
        points = tuple((str(n), str(m), str(a), str(s)) for n, m, a, s in data["entry_points"])
        return cls(data["wheel"], data["sha256"], data["distribution"], files, points)


def unpack(filename: str, sha256: str, stream: BinaryIO, entry: Path) -> Manifest:
    """Unpack a wheel, already verified, into the new folder ``entry``.

    :param filename: the wheel's name, which says what distribution it is.
    :raises WheelError: not a wheel, or it would write elsewhere or too much.
    :raises StoreError: the disk is full or refuses.
    """
    destination = _Entry(entry)
    with disk_errors(f"unpacking {filename}"):
        entry.mkdir(0o755)
    try:
        with zipfile.ZipFile(stream) as archive:
            archive.filename = filename
            check_members(filename, archive.infolist(), _size(stream))
            source = WheelFile(archive)
            _check_scripts(source)
            with disk_errors(f"unpacking {filename}"):
                installer.install(source, destination, {"INSTALLER": b"refstack-worker\n"})
            name = source.distribution
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in TWICE:
            raise WheelError(
                f"{filename}: contains a file twice, or both as a file and as a folder ({cause.filename}); refused"
            ) from error
        if isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG:
            raise WheelError(f"{filename}: has a file whose name is too long; refused") from error
        raise
    except WheelError:
        raise
    except Exception as error:
        # for a file that is not a wheel, zipfile and installer raise all kinds of errors
        raise WheelError(f"{filename}: is not a wheel: {str(error) or type(error).__name__}; refused") from error
    return Manifest(filename, sha256, name, destination.files, tuple(sorted(destination.entry_points)))


def check_members(filename: str, members: Iterable[zipfile.ZipInfo], archive_bytes: int) -> None:
    """See that an archive writes only below its own folder, and not too much.

    :raises WheelError: it does not, with the name of the wheel and of the member.
    """
    total, count = 0, 0
    seen: set[str] = set()
    for member in members:
        problem = _member_problem(member, seen)
        if problem:
            raise WheelError(f"{filename}: {member.orig_filename!r} {problem}; refused")
        total += member.file_size
        count += 1
    if total > MAX_UNPACKED or total > max(RATIO_FREE, MAX_RATIO * archive_bytes):
        raise WheelError(f"{filename}: unpacks to {total} bytes from {archive_bytes}: too much for a wheel; refused")
    if count > MAX_FILES:
        raise WheelError(f"{filename}: holds {count} files, more than {MAX_FILES}; refused")


def _member_problem(member: zipfile.ZipInfo, seen: set[str]) -> str:
    name = member.orig_filename
    path = PurePosixPath(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or name[1:2] == ":":
        return "has an absolute path"
    if ".." in path.parts or "\\" in name or "\0" in name:
        return "leads outside the wheel"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if name.rstrip("/") != str(path) or name.endswith("//"):
        return "is not a plain path"
    if LIKE_DATA.match(name):
        return "begins like the wheel's data folder but is outside it"
    if str(path) in seen and not name.endswith("/"):
        return "is there twice"
    seen.add(str(path))
    return ""


def _check_scripts(source: WheelFile) -> None:
    """See that each script names a function to call. pip refuses one that does not; ``installer`` gives no reason.

    :raises ValueError: one does not, with its name.
    """
    if "entry_points.txt" not in source.dist_info_filenames:
        return
    points = ConfigParser(delimiters="=", interpolation=None)
    points.optionxform = str  # type: ignore[assignment, method-assign]
    points.read_string(source.read_dist_info("entry_points.txt"))
    for section in {"console_scripts", "gui_scripts"}.intersection(points.sections()):
        for name, value in points.items(section):
            if not CALLABLE.fullmatch(value):
                raise ValueError(
                    f"entry_points.txt: the script {name[:80]!r} names no MODULE:FUNCTION ({value[:80]!r})"
                )


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


@dataclass
class _Entry(WheelDestination):  # type: ignore[misc, unused-ignore]  # untyped in older releases
    """Where ``installer`` writes to: an entry's folder."""

    root: Path
    files: dict[str, tuple[str, int, bool]] = field(default_factory=dict)
    entry_points: list[tuple[str, str, str, str]] = field(default_factory=list)
    _made: set[str] = field(default_factory=set)

    def write_script(self, name: str, module: str, attr: str, section: Any) -> RecordEntry:
        """Only note it: the environment writes it."""
        if "/" in name or name in ("", ".", ".."):
            raise ValueError(f"entry point {name!r} is not a valid name for a script")
        self.entry_points.append((name, module, attr, section))
        return RecordEntry(name, None, None)

    def write_file(
        self, scheme: Any, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        """Write one file of the wheel."""
        name = os.fspath(path)
        executable = is_executable or scheme == "scripts"
        hash_, size = self._write(f"{SCHEMES[scheme]}/{name}", stream, executable)
        if scheme == "scripts":  # its first line will differ in each environment
            return RecordEntry(name, None, None)
        return RecordEntry(name, Hash("sha256", hash_), size)

    def finalize_installation(self, scheme: Any, record_file_path: str, records: Any) -> None:
        """Write ``RECORD`` as an environment must show it."""

        def prefix(part: str) -> str | None:
            if SCHEMES[part] == "headers":
                return "../../../include/site/"
            return PREFIXES[SCHEMES[part]] or None

        listed = sorted(records, key=lambda item: (item[0], item[1].path))
        with construct_record_file(listed, prefix) as stream:
            self._write(f"{SCHEMES[scheme]}/{record_file_path}", stream, False)

    def _write(self, name: str, stream: BinaryIO, executable: bool) -> tuple[str, int]:
        target = f"{self.root}/{name}"
        folder = os.path.dirname(target)
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        with open(target, "xb") as file:
            hash_, size = copyfileobj_with_hashing(stream, file, "sha256")
            file.flush()
            os.fchmod(file.fileno(), 0o555 if executable else 0o444)
            os.utime(file.fileno(), (TIMESTAMP, TIMESTAMP))
        self.files[name] = (_hexadecimal(hash_), size, executable)
        return hash_, size


def _hexadecimal(urlsafe: str) -> str:
    return base64.urlsafe_b64decode(urlsafe + "=" * (-len(urlsafe) % 4)).hex()
