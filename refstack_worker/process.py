"""The only door to subprocesses: argument lists, never shell strings; no secret ever in an argument.

Everything that starts a program goes through :func:`run` (wait for it) or :func:`start` (watch it), so that logging,
time limits and error messages are written once.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker.errors import ProcessError

LOG = logging.getLogger(__name__)

OUTPUT_IN_MESSAGE = 2000
"""Characters of a failed program's output that an error message carries."""

POLL_SECONDS = 0.02
"""How often a process tree is looked at while it ends."""

KILL_SECONDS = 30.0
"""For how long processes are killed that do not go: what is stuck in the kernel cannot be waited for."""


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True)
class Options:
    """How a program is started; the defaults are those of a short helper."""

    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    """The whole environment; ``None`` inherits this process's."""
    input: str | None = None
    timeout: float | None = None
    """Seconds after which the program's whole process group is killed."""
    check: bool = True
    """Raise :class:`ProcessError` when the exit status is not 0."""


_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
"""prctl(2)."""

DEFAULTS = Options()


def run(argv: Sequence[str | Path], options: Options = DEFAULTS) -> Completed:
    """Run a program to its end and return its output.

    :raises ProcessError: it cannot be started, ended with another status than 0 (unless ``check`` is off), or ran
        longer than ``timeout`` seconds.
    """
    words = [str(word) for word in argv]
    began = time.monotonic()
    process = start(
        words,
        cwd=options.cwd,
        env=options.env,
        stdin=subprocess.PIPE if options.input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(options.input, timeout=options.timeout)
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        process.communicate()
        raise ProcessError(f"{shlex.join(words)}: still running after {options.timeout:g} s and was killed") from None
    except BaseException:
        kill_group(process.pid)
        process.communicate()
        raise
    done = Completed(tuple(words), process.returncode, stdout, stderr, time.monotonic() - began)
    if options.check and done.returncode != 0:
        raise ProcessError(_failure(done))
    return done


def start(argv: Sequence[str | Path], **popen: Any) -> subprocess.Popen[Any]:
    """Start a program and return it running; keyword arguments are those of :class:`subprocess.Popen`.

    :raises ProcessError: the program does not exist or may not be executed.
    """
    if popen.get("shell"):
        raise ValueError("no shell: give an argument list")
    words = [str(word) for word in argv]
    LOG.debug("starting %s", shlex.join(words))
    try:
        return subprocess.Popen(words, **popen)  # noqa: S603 - the one door; argument lists only
    except OSError as error:
        raise ProcessError(f"{words[0]}: cannot be started: {error.strerror or error}") from error


def kill_group(pid: int, signum: int = signal.SIGKILL) -> None:
    """Send a signal to the process group that ``pid`` leads; a group that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


def end_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends, also when that is killed.

    For a new process; what it starts itself does not inherit this. Elsewhere than on Linux, it does nothing.

    :param parent: process id of the parent: one that has ended in the meantime is noticed by it.
    """
    if _PRCTL is None:
        return
    _PRCTL(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of all living processes below ``pid``, without zombies (ended, but not collected).

    Linux. From one look at the whole process table: ``/proc/<pid>/task/*/children`` misses some while others end.
    """
    below: dict[int, list[int]] = {}
    zombies: set[int] = set()
    for child, parent, state in _table():
        below.setdefault(parent, []).append(child)
        if state in "ZX":
            zombies.add(child)
    todo = [pid]
    while todo:
        for child in below.get(todo.pop(), ()):
            todo.append(child)
            if child not in zombies:
                yield child


def end_tree(pid: int, grace: float, patience: float = KILL_SECONDS) -> bool:
    """End all the processes below ``pid``: TERM, ``grace`` seconds to comply, then KILL until none is left.

    ``pid`` itself is left alone. It must be a sub-reaper, so that orphans come back to it.

    :param patience: seconds after which processes that even KILL does not end (a dead disk, another user) are given up.
    :returns: whether none is left.
    """
    return _end_all(pid, signal.SIGTERM, grace) or _end_all(pid, signal.SIGKILL, patience)


def reap(pid: int) -> bool:
    """Collect the ended children of this process when ``pid`` is this process, so that none stays a zombie.

    :returns: whether it may still have children. That it has none is the kernel's word, and then there are no
        descendants either, for orphans of a sub-reaper are its children.
    """
    if pid != os.getpid():
        return True
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end_all(pid: int, signum: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    signalled: set[int] = set()
    while reap(pid):
        alive = list(descendants(pid))
        if not alive and pid != os.getpid():
            return True
        for child in alive:
            if signum == signal.SIGKILL or child not in signalled:
                signalled.add(child)
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signum)
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _table() -> Iterator[tuple[int, int, str]]:
    """Yield id, parent's id and state (one letter) of every process, as proc(5) has them in ``/proc/<pid>/stat``."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as stat:
                    words = stat.read().rpartition(b")")[2].split()
                yield int(name), int(words[1]), words[0].decode("ascii")


def _failure(done: Completed) -> str:
    output = (done.stderr.strip() or done.stdout.strip())[-OUTPUT_IN_MESSAGE:]
    how = f"ended with status {done.returncode}" if done.returncode > 0 else f"was killed by signal {-done.returncode}"
    return f"{shlex.join(done.argv)}: {how}" + (f": {output}" if output else "")
