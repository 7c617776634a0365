"""Parse a stream, and beside it write its copy without the secrets, compressed."""

from __future__ import annotations

import gzip
import io
from collections.abc import Collection
from pathlib import Path
from typing import cast

from refstack_worker.errors import ResultError
from refstack_worker.server.results import subunit, subunit_v1

TESTS = "tests"
"""The file of the tests in the folder that takes both."""
PACKED = "packed"
"""The file of the copy, compressed with gzip."""
_BUFFER = 1024 * 1024


def parse_into(folder: Path, stream: Path, secrets: Collection[str]) -> subunit.Parsed:
    """Parse a stream; :data:`TESTS` and :data:`PACKED` are made in a folder.

    :raises ResultError: the bytes are not a complete result.
    """
    with (
        gzip.open(folder / PACKED, "wb", compresslevel=4) as file,
        io.BufferedWriter(cast(io.RawIOBase, file), _BUFFER) as out,
    ):
        return subunit.parse(_as_v2(stream, folder / "v2"), folder / TESTS, secrets, out)


def _as_v2(path: Path, converted: Path) -> Path:
    """Return a stream of version 2: the file itself, or what it is as text of version 1 converted to."""
    with path.open("rb") as file:
        if not subunit_v1.is_v1(file.read(subunit_v1.HEAD)):
            return path
    if path.stat().st_size > subunit_v1.MAX_BYTES:
        raise ResultError(f"result: a subunit v1 stream may have at most {subunit_v1.MAX_BYTES} bytes; send version 2")
    # seldom needed, and what it imports takes a fifth of the time in which a large stream is parsed
    from refstack_worker.server.results import confined

    confined.from_v1(path, converted)
    return converted
