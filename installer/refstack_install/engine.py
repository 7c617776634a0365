"""plan, apply, verify, remove: the ways through the steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from refstack_install.errors import InstallError, InterruptedByUser, StepError, UndoError, VerifyError
from refstack_install.journal import Journal
from refstack_install.output import Reporter
from refstack_install.step import Change, Record, Step


@dataclass(frozen=True)
class Engine:
    """The steps in their order, the machine's journal, and who is told of the progress."""

    steps: Sequence[Step]
    journal: Journal
    reporter: Reporter

    def plan(self) -> bool:
        """Say what ``apply`` would change, and change nothing. :returns: whether there is anything."""
        unfinished = self.journal.unfinished
        if unfinished:
            self.reporter.note(f"{unfinished['step']}: was interrupted; apply undoes that first")
        found = False
        for step in self.steps:
            with self._timed(step) as report:
                changes = step.check()
                report(changes, "pending" if changes else "unchanged")
                found = found or bool(changes)
        return found or unfinished is not None

    def apply(self) -> None:
        """Make every step so, one after the other. :raises InstallError: one failed and was undone."""
        with self.journal.locked():
            self._pick_up()
            for step in self.steps:
                with self._timed(step) as report:
                    changes = step.check()
                    if changes:
                        self.reporter.started(step, changes)
                        self._carry_out(step)
                    report(changes, "changed" if changes else "unchanged")

    def verify(self) -> None:
        """Prove every step again. :raises VerifyError: something does not hold."""
        for step in self.steps:
            with self._timed(step) as report:
                step.verify()
                report([], "verified")

    def remove(self) -> bool:
        """Undo all that the journal knows, the newest first. :returns: whether there was anything."""
        with self.journal.locked():
            by_name = {step.name: step for step in self.steps}
            entries = self.journal.entries
            for step in self.steps if entries else ():
                step.before_remove()
            for entry in reversed(entries):
                step = by_name[entry["step"]]
                with self._timed(step) as report:
                    step.undo(entry["record"])
                    self.journal.drop_last()
                    report([Change(step.title, "done", "undone")], "undone")
            self.journal.erase()
        return bool(entries)

    def _carry_out(self, step: Step) -> None:
        before = step.snapshot()
        self.journal.begin(step.name, before)
        try:
            step.apply()
            step.verify()
        except (InstallError, OSError, KeyboardInterrupt) as error:
            self._take_back(step, before, error)
        self.journal.done(step.settle(before))

    def _take_back(self, step: Step, before: Record, error: BaseException) -> None:
        failure = _as_failure(error)
        self.reporter.note(f"{step.name}: failed, putting back what it changed")
        try:
            step.undo(before)
            self.journal.drop_last()
        except (InstallError, OSError) as second:
            raise UndoError(
                str(failure), f"and putting the node back failed too: {second}", "mend that and run again"
            ) from error
        raise failure from error

    def _pick_up(self) -> None:
        entry = self.journal.unfinished
        if entry is None:
            return
        self.reporter.note(f"{entry['step']}: was interrupted before its end; putting back what it changed")
        step = next(step for step in self.steps if step.name == entry["step"])
        step.undo(entry["record"])
        self.journal.drop_last()

    @contextmanager
    def _timed(self, step: Step) -> Iterator[_Report]:
        report = _Report(self.reporter, step)
        try:
            yield report
        except (InstallError, OSError) as error:
            failure = error if isinstance(error, InstallError) else _as_failure(error)
            report([], "failed")
            self.reporter.failed(step, failure)
            raise failure from error


class _Report:
    """Tells the reporter how a step went, with its seconds and the package manager's part of them."""

    def __init__(self, reporter: Reporter, step: Step) -> None:
        self._reporter = reporter
        self._step = step
        self._began = time.monotonic()
        self._others = step.system.spent.package_manager

    def __call__(self, changes: Sequence[Change], state: str) -> None:
        seconds = time.monotonic() - self._began
        others = self._step.system.spent.package_manager - self._others
        self._reporter.ended(self._step, state, changes, (seconds, others))


def _as_failure(error: BaseException) -> InstallError:
    if isinstance(error, KeyboardInterrupt):
        return InterruptedByUser("interrupted", todo="run again to go on")
    if isinstance(error, VerifyError):
        return StepError(error.what, error.why, error.todo or "run again after looking at it")
    if isinstance(error, InstallError):
        return error
    return StepError("the machine refused", str(error), "mend that and run again")
