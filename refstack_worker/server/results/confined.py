"""Readers of what users send, in a separate process with limits for time, memory and disk.

Some libraries take time or room that grows with the square of what they are given, and some hold Python's lock all the
while: then nothing else in the server goes on, not even heartbeats. Here a process that takes too much is ended.

The process runs this module; what it reads and writes are files in the caller's folder, or its standard input.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import KeyFileError, ProcessError, RefstackError, ResultError

MEBIBYTE = 1024 * 1024
MAX_CPU_SECONDS = 10
MAX_MEMORY = 1024 * MEBIBYTE
MAX_FILE = 64 * MEBIBYTE
MAX_SECONDS = 60.0
"""By the clock, on a machine that has much else to do."""
TOO_MUCH = "result: takes too long to read, or too much room; send subunit version 2"
REFUSED = 5
"""Exit status: what came is not what was expected; the message says why."""
_TOP = str(Path(__file__).parents[3])
"""Where this package is, also when it is not installed."""


@dataclass(frozen=True)
class _Failed(Exception):
    message: str
    """Empty: it took too much."""


def import_result(source: Path, target: Path) -> dict[str, Any]:
    """Write a result of any of the formats as subunit v2, and return what else it says.

    :raises ResultError: it is not a result, or takes too much to read.
    """
    try:
        found: dict[str, Any] = json.loads(_run("import", str(source), str(target)))
        return found
    except _Failed as error:
        raise ResultError(error.message or TOO_MUCH) from None


def from_v1(source: Path, target: Path) -> None:
    """Write a stream of subunit v1 as version 2. :raises ResultError: as :func:`import_result`."""
    try:
        _run("v1", str(source), str(target))
    except _Failed as error:
        raise ResultError(error.message or TOO_MUCH) from None


def upload_key(text: str) -> UploadKey:
    """Return a private key, whose primes take long to prove. :raises KeyFileError: RefStack does not take it."""
    try:
        proved = _run("key", given=text)
    except _Failed as error:
        raise KeyFileError(error.message or "takes too long to check; use a key of 2048 to 4096 bits") from None
    return UploadKey.parse(proved.encode("ascii"), "private_key", is_checked=True)


def _run(*words: str, given: str | None = None) -> str:
    # the name of this module, which is also run as a program
    limits = map(str, (MAX_CPU_SECONDS, MAX_MEMORY, MAX_FILE))
    command = [sys.executable, "-m", "refstack_worker.server.results.confined", *limits, *words]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_TOP, os.environ.get("PYTHONPATH", ""))))}
    try:
        done = process.run(command, process.Options(env=env, timeout=MAX_SECONDS, check=False, input=given))
    except ProcessError:
        raise _Failed("") from None
    if done.returncode == REFUSED:
        raise _Failed(done.stderr.strip()[-1000:])
    if done.returncode != 0:
        raise _Failed("")
    return done.stdout


def main(words: list[str]) -> int:
    for kind, most in zip((resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE), words):
        resource.setrlimit(kind, (int(most), int(most)))
    name, *files = words[3:]
    try:
        print(_DO[name](*map(Path, files)))
    except RefstackError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


def _read_key() -> str:
    return UploadKey.parse(sys.stdin.buffer.read(), "private_key").pem


def _read_result(source: Path, target: Path) -> str:
    from refstack_worker.server.results.imported import write_stream

    return json.dumps(write_stream(source.read_bytes(), target))


def _convert(source: Path, target: Path) -> str:
    from refstack_worker.server.results.subunit_v1 import to_v2

    with target.open("wb") as out:
        to_v2(source.read_bytes(), out)
    return ""


_DO: Mapping[str, Callable[..., str]] = {"key": _read_key, "import": _read_result, "v1": _convert}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
