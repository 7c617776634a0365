"""Run a module of this package in a separate process, with limits for time, memory and disk.

Some libraries take time or room that grows with the square of what they are given, and some hold Python's lock all the
while: then nothing else in the server goes on, not even heartbeats. A process that takes too much is ended. Only bytes
that take too much are refused; trouble of this server is an error of its own.
"""

from __future__ import annotations

import errno
import importlib
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import process
from refstack_worker.errors import ProcessError

MEBIBYTE = 1024 * 1024
OVER = 6
"""Exit status: the process met its limit of memory or of a file's size."""
REFUSED = 5
"""Exit status: what came is not what was expected; standard error says why."""
_OVER = (OVER, -signal.SIGXCPU, -signal.SIGXFSZ, -signal.SIGSEGV, -signal.SIGABRT)
"""A library in C that gets no memory may also crash."""
_PROGRAM = "refstack_worker.server.results.limited"
_TOP = str(Path(__file__).parents[3])
"""Where this package is, also when it is not installed."""


@dataclass(frozen=True)
class ProcessLimits:
    """What a process may take before it is ended."""

    cpu_seconds: int
    memory: int
    """Bytes of address space."""
    file: int
    """Bytes of the largest file that it writes."""
    seconds: float
    """By the clock: a machine that is too busy is this server's trouble."""
    niceness: int = 0


class OverLimitError(Exception):
    """What was given takes more than the limits allow."""


class RefusedInputError(Exception):
    """What was given is not what the module expects; the message says why."""


def run(module: str, words: Sequence[str | Path], limits: ProcessLimits, given: str | None = None) -> str:
    """Run ``main(words)`` of a module with ``given`` as standard input; return what it prints.

    :raises OverLimitError: it met one of its limits.
    :raises RefusedInputError: it ended with the status :data:`REFUSED`.
    :raises ProcessError: this server is in trouble: no process, no disk, too busy, or a fault of the module.
    """
    numbers = map(str, (os.getpid(), limits.cpu_seconds, limits.memory, limits.file, limits.niceness))
    command = [sys.executable, "-m", _PROGRAM, *numbers, module, *words]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([_TOP, *filter(None, sys.path)])}
    done = process.run(command, process.Options(env=env, timeout=limits.seconds, check=False, input=given))
    said = done.stderr.strip()[-process.OUTPUT_IN_MESSAGE :]
    if done.returncode == REFUSED:
        raise RefusedInputError(said)
    if done.returncode in _OVER:
        raise OverLimitError
    if done.returncode != 0:
        raise ProcessError(f"{module} ended with status {done.returncode}: {said}")
    return done.stdout


def main(argv: Sequence[str]) -> int:
    parent, cpu, memory, file, niceness = map(int, argv[:5])
    name, *words = argv[5:]
    # nothing reads the answer then
    process.end_with_parent(parent)
    with suppress(OSError):
        os.nice(niceness)
    # what ends it at a limit makes a core file, which would hold passwords
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # the hard limit of time is later: it kills without a signal of its own
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file, file))
    try:
        status: int = importlib.import_module(name).main(words)
        sys.stdout.flush()
    except MemoryError:
        return OVER
    except OSError as error:
        if error.errno in (errno.EFBIG, errno.ENOMEM):
            return OVER
        raise
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
