"""A ``tempest run`` that is started and waits for the names of its tests.

Tempest takes as long to start as the cloud to be asked for its configuration. It reads the configuration only in its
test processes, which it starts when it has the names; they load their tests while Tempest tries to log in.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from refstack_worker.execute_test.programs import started, write_to
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.listing import EXACT_LIST, list_text, run_words
from refstack_worker.execute_test.tempest.stestr_files import (
    BY_CLASS,
    REPOSITORY,
    closed_gate,
    give_durations,
    open_gate,
    write_stestr_conf,
)
from refstack_worker.execute_test.tempest.workspace import Workspace


@dataclass(frozen=True)
class WaitingRun:
    """The program, and what it was started with."""

    program: subprocess.Popen[bytes]
    concurrency: int
    """Test processes; 0: as many as Tempest chooses."""
    group: str
    ends: contextlib.ExitStack
    """Ends the program."""
    gate: IO[str] | None = None
    """Keeps the first test back; None: nothing does."""

    @classmethod
    @contextlib.contextmanager
    def begun(
        cls, tempest: Tempest, workspace: Workspace, concurrency: int, durations: Mapping[str, float],
        group: str = BY_CLASS,
    ) -> Iterator[WaitingRun]:  # fmt: skip
        """Start the program; it ends with the context at the latest.

        :param durations: seconds by test, for those that may be selected.
        :param group: as for :func:`~refstack_worker.execute_test.tempest.stestr_files.write_stestr_conf`.
        :raises TempestFailure: it cannot be started.
        """
        folder = workspace.scratch / "run"
        # of one that was started before, for other processes or groups
        shutil.rmtree(folder / REPOSITORY, ignore_errors=True)
        write_stestr_conf(tempest, workspace, group)
        give_durations(folder, durations, durations)
        # Tempest only looks whether there is a file
        workspace.conf.touch(mode=0o600)
        words = [*run_words(tempest, workspace, "--subunit", EXACT_LIST), *concurrency_words(concurrency)]
        with contextlib.ExitStack() as ends:
            gate = ends.enter_context(closed_gate(workspace)) if tempest.package else None
            program = ends.enter_context(started(words, folder, workspace.environment(tempest), subprocess.PIPE))
            yield cls(program, concurrency, group, ends, gate)

    def begin(self, tests: Sequence[str], need_login: Callable[[], None]) -> None:
        """Let it run these tests; the configuration is written.

        :param need_login: waits until Tempest has logged in, and raises if it cannot; no test begins before.
        """
        if self.gate is None:
            need_login()
            write_to(self.program, list_text(tests))
        else:
            write_to(self.program, list_text(tests))
            need_login()
            open_gate(self.gate)


def concurrency_words(concurrency: int) -> list[str]:
    """Return the words of ``tempest run`` for so many test processes; 0: as many as Tempest chooses."""
    return ["--concurrency", str(concurrency)] if concurrency else []
