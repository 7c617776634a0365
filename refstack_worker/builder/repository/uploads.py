"""What a build leaves in a folder, as files to publish: a ``.changes`` file represents the files that it lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from refstack_worker.errors import BuildError
from refstack_worker.filesystem import sha256_of

NOT_PUBLISHED = (".buildinfo", ".build", ".upload")
"""What Debian's tools leave beside the packages, and no repository has."""

ENTRY = re.compile(r" ([0-9a-f]{64}) (\d+) ([A-Za-z0-9][A-Za-z0-9.+:~_-]*)")


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the packages and sources among these files, each once.

    :raises BuildError: a file that a ``.changes`` file names is missing, or is not the one that it names.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.suffix == ".changes":
            found.update(dict.fromkeys(_named(path)))
        elif path.suffix not in NOT_PUBLISHED:
            found[path] = None
    return list(found)


def _named(changes: Path) -> Iterator[Path]:
    try:
        lines = changes.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"{changes}: cannot be read: {error}") from error
    entries = list(_entries(lines))
    if not entries:
        raise BuildError(f"{changes}: names no files (Checksums-Sha256); is this the .changes file of a build?")
    for digest, name in entries:
        path = changes.with_name(name)
        if path.suffix in NOT_PUBLISHED:
            continue
        try:
            with path.open("rb") as stream:
                if sha256_of(stream) != digest:
                    raise BuildError(f"{path}: is not the file that {changes.name} names; build the packages again")
        except OSError as error:
            raise BuildError(f"{path}: {error.strerror} (listed in {changes.name})") from error
        yield path


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    is_in = False
    for line in lines:
        if not line.startswith(" "):
            is_in = line.startswith("Checksums-Sha256:")
        elif is_in and (entry := ENTRY.fullmatch(line)):
            yield entry[1], entry[3]
