"""Readers of what users send, each in a separate process with limits (see :mod:`limited`).

The process runs this module; what it reads and writes are files in the caller's folder, or its standard input.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import KeyFileError, LedgerError, ProcessError, RefstackError, ResultError
from refstack_worker.server.results import limited

MAX_CPU_SECONDS = 10
MAX_CHOOSING_SECONDS = 2
"""Of processor time to look for the tests that expressions mean; ordinary ones take a tenth of a second."""
_CHOOSING = threading.BoundedSemaphore(2)
MAX_MEMORY = 1024 * limited.MEBIBYTE
MAX_FILE = 64 * limited.MEBIBYTE
MAX_SECONDS = 60.0
"""By the clock, on a machine that has much else to do."""
NICENESS = 10
"""Heartbeats and other requests come first on a machine that has no processor time left."""
TOO_MUCH = "result: takes too long, or too much space, to read; send subunit version 2"


def import_result(source: Path, target: Path) -> dict[str, Any]:
    """Write a result of any of the formats as subunit v2, and return what else it says.

    :raises ResultError: it is not a result, or takes too much to read.
    :raises LedgerError: this server is in trouble.
    """
    try:
        found: dict[str, Any] = json.loads(_run("import", source, target))
    except limited.RefusedInputError as error:
        raise ResultError(str(error)) from None
    except limited.OverLimitError:
        raise ResultError(TOO_MUCH) from None
    return found


def from_v1(source: Path, target: Path) -> None:
    """Write a stream of subunit v1 as version 2.

    :raises ResultError: it takes too much to read.
    :raises LedgerError: this server is in trouble.
    """
    try:
        _run("v1", source, target)
    except limited.RefusedInputError as error:
        raise ResultError(str(error)) from None
    except limited.OverLimitError:
        raise ResultError(TOO_MUCH) from None


def chosen_tests(entries: Sequence[str], listed: Sequence[str]) -> list[str]:
    """Return the tests among the listed ones that test cases mean, as ``execute_test`` chooses them.

    :raises ResultError: they make no sense, or take too long to look for: expressions are users' own.
    :raises LedgerError: this server is in trouble.
    """
    try:
        with _CHOOSING:
            words = json.dumps([list(entries), list(listed)])
            found: list[str] = json.loads(_run("choose", given=words, cpu_seconds=MAX_CHOOSING_SECONDS))
    except limited.RefusedInputError as error:
        raise ResultError(str(error)) from None
    except limited.OverLimitError:
        raise ResultError("its expressions take too long") from None
    return found


def upload_key(text: str) -> UploadKey:
    """Return a private key, whose primes take long to prove.

    :raises KeyFileError: RefStack does not take it.
    :raises LedgerError: this server is in trouble.
    """
    try:
        proved = _run("key", given=text)
    except limited.RefusedInputError as error:
        raise KeyFileError(str(error)) from None
    except limited.OverLimitError:
        raise KeyFileError("takes too long to check; use a key of 2048 to 4096 bits") from None
    return UploadKey.parse(proved.encode("ascii"), "private_key", is_checked=True)


def _run(*words: str | Path, given: str | None = None, cpu_seconds: int | None = None) -> str:
    limits = limited.ProcessLimits(cpu_seconds or MAX_CPU_SECONDS, MAX_MEMORY, MAX_FILE, MAX_SECONDS, NICENESS)
    try:
        # the name of this module, whose main() the process calls
        return limited.run(__name__, words, limits, given)
    except ProcessError as error:
        raise LedgerError(f"the data cannot be read at the moment; try again: {error}") from error


def main(words: Sequence[str]) -> int:
    name, *files = words
    try:
        print(_DO[name](*map(Path, files)))
    except RefstackError as error:
        print(error, file=sys.stderr)
        return limited.REFUSED
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


def _choose_tests() -> str:
    from refstack_worker.execute_test.failures import Failure
    from refstack_worker.execute_test.tempest.selection import Selection

    entries, listed = json.load(sys.stdin)
    try:
        return json.dumps(Selection(tuple(entries)).chosen_of(listed)[1])
    except Failure as error:
        raise ResultError(str(error)) from None


_DO: Mapping[str, Callable[..., str]] = {
    "choose": _choose_tests,
    "key": _read_key,
    "import": _read_result,
    "v1": _convert,
}
