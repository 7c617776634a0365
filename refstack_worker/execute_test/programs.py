"""Starts programs, and ends them when the run is stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.contract.execute_test import BY_TIME_LIMIT
from refstack_worker.execute_test.failures import Stopped, TempestFailure
from refstack_worker.execute_test.log import LOG

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP)
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Interrupt:
    """Turns TERM, INT and the time limit into :class:`Stopped`, but never while a program is being started."""

    def __init__(self) -> None:
        self.grace = 2.0
        """Seconds that a program may take to end after TERM."""
        self._pending = ""
        self._deferred = False
        self._seconds = 0.0

    def arm(self, seconds: float) -> None:
        """Listen to signals, and start the time limit."""
        for signum in _SIGNALS:
            signal.signal(signum, self._arrived)
        self._seconds = seconds
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def time_limit_off(self) -> None:
        """The tests are over: only a signal stops the rest."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within this block a signal waits until its end."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._pending:
            raise Stopped(self._pending)

    def _arrived(self, signum: int, _frame: Any) -> None:
        # one is enough: the next would interrupt the clean-up
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        by_signal = f"stopped by signal {signal.Signals(signum).name}"
        self._pending = f"{BY_TIME_LIMIT} of {self._seconds:g} s" if signum == signal.SIGALRM else by_signal
        if not self._deferred:
            raise Stopped(self._pending)


INTERRUPT = Interrupt()


@contextlib.contextmanager
def started(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in its own process group; nothing of the group is left afterwards.

    :param stdin: as for :class:`subprocess.Popen`.
    :raises TempestFailure: it cannot be started.
    """
    words = [str(word) for word in argv]
    LOG.debug("starting %s", " ".join(words))
    process: subprocess.Popen[bytes] | None = None
    try:
        with INTERRUPT.deferred():
            try:
                process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                    words, cwd=cwd, env=dict(env), stdin=stdin, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_end_with_parent,
                )  # fmt: skip
            except OSError as error:
                raise TempestFailure(f"{words[0]}: cannot be started: {error}") from error
        yield process
    finally:
        if process is not None:
            end_group(process, INTERRUPT.grace)


def write_to(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write all that a program will read on its standard input; one that ends without reading it says why itself."""
    assert process.stdin is not None  # noqa: S101 - started with a pipe
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(data)
    process.stdin = None  # communicate() would flush it


def _end_with_parent() -> None:
    """In the new process: end when this one is killed; its tests then end by their broken pipes."""
    if _PRCTL is not None:
        _PRCTL(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, prctl(2)


def end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """End a program's process group: TERM, then KILL after ``grace`` seconds."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
