"""Access to the machine: programs, paths and environment. The rest of the installer uses nothing else.

With a root other than ``/`` the installer works on a tree (an image, a test): files lie below it, and package managers
get it as an option.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from refstack_install.errors import StepError

MAX_OUTPUT_TAIL = 2000
"""Characters of a failed program's output that go into the error message."""


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    argv: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def output_tail(self) -> str:
        """The end of stderr, or of stdout if stderr is empty."""
        return (self.err.strip() or self.out.strip())[-MAX_OUTPUT_TAIL:]


Run = Callable[[Sequence[str], Mapping[str, str], Optional[float]], Completed]


@dataclass
class TimeSpent:
    """Seconds spent in the package manager."""

    package_manager: float = 0.0


def run_program(argv: Sequence[str], extra: Mapping[str, str], timeout: float | None) -> Completed:
    """Run a program in its own session: Ctrl-C must not interrupt a package manager halfway."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **extra}
    try:
        process = subprocess.Popen(  # noqa: S603 - argument lists only; the one place that starts programs
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        return Completed(tuple(argv), 127, "", f"{argv[0]}: {error.strerror}")
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return Completed(tuple(argv), 124, out, f"killed: still running after {timeout:g} s")
    except KeyboardInterrupt:
        # wait for a package manager (no timeout) before anything is undone; end any other program at once
        if timeout is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Completed(tuple(argv), process.returncode, out, err)


@dataclass(frozen=True)
class System:
    """A machine, or the tree of a future one."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    run_with: Run = run_program
    spent: TimeSpent = field(default_factory=TimeSpent)

    @property
    def is_live(self) -> bool:
        """Whether this is the running machine rather than a tree on it."""
        return self.root == Path("/")

    def path(self, path: str | Path) -> Path:
        """Return the location of an absolute path of the node."""
        return self.root / str(path).lstrip("/")

    def run(self, argv: Sequence[str], timeout: float | None = 120, **extra: str) -> Completed:
        """Run a program, whatever its exit status; ``extra`` is added to its environment."""
        return self.run_with([str(word) for word in argv], extra, timeout)

    def must(self, argv: Sequence[str], timeout: float | None = 120, **extra: str) -> Completed:
        """Run a program that must succeed. :raises StepError: it failed."""
        done = self.run(argv, timeout, **extra)
        if done.status != 0:
            raise StepError(f"{shlex.join(done.argv)} failed with status {done.status}", done.output_tail)
        return done

    def package_manager(self, argv: Sequence[str], **extra: str) -> Completed:
        """Run a package manager and count its seconds. There is no time limit: killing it halfway does damage."""
        began = time.monotonic()
        try:
            return self.run(argv, None, **extra)
        finally:
            self.spent.package_manager += time.monotonic() - began

    def has(self, program: str) -> bool:
        """Return whether a program is on the path."""
        return shutil.which(program, path=self.environ.get("PATH", os.defpath)) is not None

    def is_root(self) -> bool:
        """Return whether the installer runs as root."""
        return os.geteuid() == 0

    def systemd_runs(self) -> bool:
        """Return whether systemd is this machine's init. Without it, units can be enabled but not started."""
        return self.is_live and Path("/run/systemd/system").is_dir()
