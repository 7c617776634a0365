"""Parse a large result in a separate process: parsing holds the interpreter, and heartbeats must be answered.

The program reads one JSON object from standard input and writes one to standard output; secrets travel in no argument.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.errors import LedgerError, ProcessError, ResultError
from refstack_worker.server.domain.results import Counts
from refstack_worker.server.results import masked_copy
from refstack_worker.server.results.result_rows import RowFile
from refstack_worker.server.results.subunit import Parsed

MIN_BYTES = 2 * 1024 * 1024
"""A smaller result is parsed where it is: to start a program takes longer."""
MAX_SECONDS = 900
MAX_MEMORY = 1 << 30
"""Bytes of address space; a result of the largest size needs a tenth."""
NICENESS = 5
"""Heartbeats go first."""
_TURN = threading.BoundedSemaphore(2)
"""Large results that are parsed at a time; the others wait."""
_PACKAGES = Path(__file__).resolve().parents[3]


def parse_apart(stream: Path, folder: Path, secrets: Collection[str]) -> Parsed:
    """Parse a stream into the files ``tests`` and ``packed`` of a folder; see :func:`masked_copy.parse_into`.

    :raises ResultError: the bytes are not a complete result.
    :raises LedgerError: this server is in trouble: the result is to be posted again.
    """
    request = {"stream": str(stream), "folder": str(folder), "secrets": sorted(secrets)}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_PACKAGES), *filter(None, sys.path)])}
    options = process.Options(input=json.dumps(request), env=env, timeout=MAX_SECONDS)
    try:
        with _TURN:
            done = process.run([sys.executable, "-m", __name__], options)
        answer = json.loads(done.stdout)
    except (ProcessError, ValueError) as error:
        raise LedgerError(f"result: cannot be parsed now: {error}") from error
    if "refused" in answer:
        raise ResultError(answer["refused"])
    times = {int(position): times for position, times in answer["times"]}
    rows = RowFile(folder / masked_copy.TESTS, frozenset(answer["superseded"]), times)
    return Parsed(Counts(**answer["counts"]), answer["seconds"], rows)


def answer_of(request: dict[str, Any]) -> dict[str, Any]:
    """Parse what a request names; return the answer."""
    try:
        parsed = masked_copy.parse_into(Path(request["folder"]), Path(request["stream"]), request["secrets"])
    except ResultError as error:
        return {"refused": str(error)}
    return {
        "counts": asdict(parsed.counts),
        "seconds": parsed.seconds,
        "superseded": sorted(parsed.tests.superseded),
        "times": sorted(parsed.tests.times.items()),
    }


def main() -> int:
    with suppress(OSError):
        os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    print(json.dumps(answer_of(json.load(sys.stdin))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
