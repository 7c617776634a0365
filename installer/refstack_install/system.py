"""The only door to the machine: programs, paths, environment, clock. Everything else in the installer goes through it.

With another root than ``/`` the installer works on a tree (an image, a test): files lie below it, and package managers
are told.
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

SAID = 2000
"""Characters of a failed program's output that are kept for the message."""


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    argv: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The end of what it wrote, errors first."""
        return (self.err.strip() or self.out.strip())[-SAID:]


Run = Callable[[Sequence[str], Mapping[str, str], Optional[float]], Done]


@dataclass
class Spent:
    """Seconds that went into programs of others (the package manager), for the table of steps."""

    package_manager: float = 0.0


def run_program(argv: Sequence[str], extra: Mapping[str, str], timeout: float | None) -> Done:
    """Run a program to its end in a session of its own: a Ctrl-C must not hit a package manager in its middle."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **extra}
    try:
        process = subprocess.Popen(  # noqa: S603 - argument lists only; the one door
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
        return Done(tuple(argv), 127, "", f"{argv[0]}: {error.strerror}")
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return Done(tuple(argv), 124, out, f"still running after {timeout:g} s and was killed")
    except KeyboardInterrupt:
        # a package manager ends what it does before anything is put back; anything else can go at once
        if timeout is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Done(tuple(argv), process.returncode, out, err)


@dataclass(frozen=True)
class System:
    """A machine, or a tree that is to become one."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    run_with: Run = run_program
    spent: Spent = field(default_factory=Spent)

    @property
    def is_live(self) -> bool:
        """Whether this is the running machine, not a tree on it."""
        return self.root == Path("/")

    def path(self, path: str | Path) -> Path:
        """Return where an absolute path of the node lies."""
        return self.root / str(path).lstrip("/")

    def run(self, argv: Sequence[str], timeout: float | None = 120, **extra: str) -> Done:
        """Run a program and return how it ended, whatever the status; ``extra`` goes into its environment."""
        return self.run_with([str(word) for word in argv], extra, timeout)

    def must(self, argv: Sequence[str], timeout: float | None = 120, **extra: str) -> Done:
        """Run a program that has to succeed. :raises StepError: it did not."""
        done = self.run(argv, timeout, **extra)
        if done.status != 0:
            raise StepError(f"{shlex.join(done.argv)} ended with status {done.status}", done.said)
        return done

    def package_manager(self, argv: Sequence[str], **extra: str) -> Done:
        """Run a package manager, without a time limit (killing one midway does harm), and count its seconds."""
        began = time.monotonic()
        try:
            return self.run(argv, None, **extra)
        finally:
            self.spent.package_manager += time.monotonic() - began

    def has(self, program: str) -> bool:
        """Whether a program is there to be run."""
        return shutil.which(program, path=self.environ.get("PATH", os.defpath)) is not None

    def is_root(self) -> bool:
        """Whether everything on the machine may be changed."""
        return os.geteuid() == 0

    def systemd_runs(self) -> bool:
        """Whether systemd is this machine's init (else units are enabled, but nothing can be started)."""
        return self.is_live and Path("/run/systemd/system").is_dir()
