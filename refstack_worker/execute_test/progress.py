"""Reports on standard output how the run goes: as text, or as one JSON object a line."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import IO

from refstack_worker.contract.console import ConsoleLine, TestLine, line_to_json
from refstack_worker.contract.execute_test import (
    EndEvent,
    Event,
    ExitCode,
    MessageEvent,
    Reason,
    StateEvent,
    event_line,
)
from refstack_worker.contract.messages import printable
from refstack_worker.contract.progress import Progress
from refstack_worker.execute_test.log import SECRETS


@dataclass
class EventWriter:
    """Writes the events of a run."""

    as_json: bool
    out: IO[str]
    shows_console: bool = False
    """Whether text, too, has a line for each test and request; JSON always has."""

    def state(self, state: str, message: str = "") -> None:
        """Report a new state of the run."""
        self._write(StateEvent(state, message), f"{state}: {message}")

    def message(self, text: str) -> None:
        """Report something that a vendor or an operator should know."""
        self._write(MessageEvent(text), text)

    def progress(self, progress: Progress) -> None:
        """Report how many tests have ended."""
        about = "" if progress.seconds_left is None else f", about {progress.seconds_left} s left"
        counts = f"{progress.passed} passed, {progress.failed} failed, {progress.skipped} skipped"
        self._write(progress, f"{progress.done}/{progress.total or '?'}: {counts}{about}: {progress.test}")

    def console(self, line: ConsoleLine) -> None:
        """Report what a test does, or a request that it sent."""
        if self.as_json:
            self._print(json.dumps(line_to_json(line, SECRETS.mask)))
        elif self.shows_console:
            self._print(printable(SECRETS.mask(_text_of(line)), instead="?"))

    def end(self, exit_code: ExitCode, reason: Reason, message: str) -> None:
        """Report how the run ended; nothing may follow."""
        self._write(EndEvent(int(exit_code), reason.value, message), f"{reason.value} (exit {exit_code:d}): {message}")

    def _write(self, event: Event, text: str) -> None:
        self._print(event_line(event, SECRETS.mask) if self.as_json else printable(SECRETS.mask(text), instead="?"))

    def _print(self, line: str) -> None:
        # the tests go on when the reader has gone
        with contextlib.suppress(BrokenPipeError):
            print(line.encode("ascii", "backslashreplace").decode(), file=self.out, flush=True)


def _text_of(line: ConsoleLine) -> str:
    if isinstance(line, TestLine):
        return f"{line.status} {line.test}" + (f" ({line.seconds:.1f} s)" if line.status != "started" else "")
    return f"{line.method} {line.path} {line.status} {line.ms} ms {line.service} {line.request_id}".rstrip()
