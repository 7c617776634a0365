"""Parse a large result in a separate process: parsing holds the interpreter, and heartbeats must be answered.

The program reads one JSON object from standard input and writes one to standard output; secrets travel in no argument.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refstack_worker.errors import LedgerError, ProcessError, ResultError
from refstack_worker.server.domain.results import Counts
from refstack_worker.server.results import limited, masked_copy
from refstack_worker.server.results.machine_turns import MachineTurns, NoTurnError
from refstack_worker.server.results.result_rows import RowFile
from refstack_worker.server.results.subunit import Parsed

MIN_BYTES = 2 * 1024 * 1024
"""A smaller result is parsed where it is: to start a program takes longer."""
LIMITS = limited.ProcessLimits(cpu_seconds=600, memory=1 << 30, file=1 << 32, seconds=900, niceness=19)
"""A result of the largest size needs a tenth of the memory. Heartbeats go first: at a niceness of 15 they wait twice as
long beside ten such results, on two cores."""
_TURNS = MachineTurns("parser", 2)
"""Large results that are parsed at the same time on this machine, whose processors answer heartbeats too. Another that
takes long leaves a turn for those that do not. The others wait ..."""
WAIT_SECONDS = 20.0
"""... so long, and are posted again then: each that waits holds a thread."""


def parse_apart(stream: Path, folder: Path, secrets: Collection[str], turns: Path) -> Parsed:
    """Parse a stream into the files ``tests`` and ``packed`` of a folder; see :func:`masked_copy.parse_into`.

    :param turns: a folder that is the same for all who parse on this machine.
    :raises ResultError: the bytes are not a complete result.
    :raises LedgerError: this server is in trouble: the result is to be posted again.
    """
    request = {"stream": str(stream), "folder": str(folder), "secrets": sorted(secrets)}
    try:
        with _TURNS.turn(turns, WAIT_SECONDS):
            answer = json.loads(limited.run(__name__, (), LIMITS, json.dumps(request)))
    except NoTurnError:
        raise LedgerError("result: other large results are being read; post it again") from None
    except limited.RefusedInputError as error:
        raise ResultError(str(error)) from None
    except limited.OverLimitError:
        raise ResultError("result: takes too long to read, or too much memory") from None
    except (ProcessError, ValueError, OSError) as error:
        raise LedgerError(f"result: cannot be parsed now: {error}") from error
    times = {int(position): times for position, times in answer["times"]}
    rows = RowFile(folder / masked_copy.TESTS, frozenset(answer["superseded"]), times)
    return Parsed(Counts(**answer["counts"]), answer["seconds"], rows)


def answer_of(request: dict[str, Any]) -> dict[str, Any]:
    """Parse what a request names; return the answer."""
    parsed = masked_copy.parse_into(Path(request["folder"]), Path(request["stream"]), request["secrets"])
    return {
        "counts": asdict(parsed.counts),
        "seconds": parsed.seconds,
        "superseded": sorted(parsed.tests.superseded),
        "times": sorted(parsed.tests.times.items()),
    }


def main(_words: Sequence[str]) -> int:
    try:
        answer = answer_of(json.load(sys.stdin))
    except ResultError as error:
        print(error, file=sys.stderr)
        return limited.REFUSED
    print(json.dumps(answer))
    return 0
