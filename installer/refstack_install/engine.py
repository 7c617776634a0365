"""Carries out plan, apply, verify and remove over the list of steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from refstack_install.errors import InstallError, InterruptedByUser, StepError, UndoError, VerifyError
from refstack_install.files import Record
from refstack_install.journal import Journal
from refstack_install.reporter import Reporter
from refstack_install.step import Change, Step


@dataclass(frozen=True)
class Engine:
    """The steps in order, the machine's journal, and the reporter."""

    steps: Sequence[Step]
    journal: Journal
    reporter: Reporter

    def plan(self) -> bool:
        """Report what ``apply`` would change, without changing anything. :returns: whether there are changes."""
        unfinished = self.journal.unfinished
        if unfinished:
            self.reporter.note(f"{unfinished['step']}: was interrupted; apply undoes it first")
        pending = False
        for step in self.steps:
            with self._timed(step) as report:
                changes = step.check()
                report(changes, "pending" if changes else "unchanged")
                pending = pending or bool(changes)
        return pending or unfinished is not None

    def apply(self) -> None:
        """Carry out every step in order. :raises InstallError: a step failed and was undone."""
        with self.journal.locked():
            self._undo_interrupted()
            for step in self.steps:
                with self._timed(step) as report:
                    changes = step.check()
                    if changes:
                        self.reporter.started(step, changes)
                        self._carry_out(step)
                    report(changes, "changed" if changes else "unchanged")

    def verify(self) -> None:
        """Verify every step and report its remarks. :raises VerifyError: a check failed."""
        for step in self.steps:
            with self._timed(step) as report:
                step.verify()
                remarks = step.remarks()
                report([], "verified")
            for remark in remarks:
                self.reporter.note(remark)

    def remove(self) -> bool:
        """Undo everything in the journal, newest first. :returns: whether there was anything."""
        with self.journal.locked():
            by_name = {step.name: step for step in self.steps}
            entries = self.journal.entries
            for step in self.steps if entries else ():
                step.before_remove()
            for number, entry in reversed(list(enumerate(entries))):
                step = by_name[entry["step"]]
                with self._timed(step) as report:
                    step.undo(step.removal_record(entry["record"], [older["record"] for older in entries[:number]]))
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
            self._roll_back(step, before, error)
        self.journal.done(step.settle(before))

    def _roll_back(self, step: Step, before: Record, error: BaseException) -> None:
        failure = _as_failure(error)
        self.reporter.note(f"{step.name}: failed; undoing its changes")
        try:
            step.undo(before)
            self.journal.drop_last()
        except (InstallError, OSError) as second:
            raise UndoError(str(failure), f"undoing the step failed too: {second}", "fix this and run again") from error
        raise failure from error

    def _undo_interrupted(self) -> None:
        entry = self.journal.unfinished
        if entry is None:
            return
        self.reporter.note(f"{entry['step']}: was interrupted; undoing its changes")
        step = next(step for step in self.steps if step.name == entry["step"])
        step.undo(entry["record"])
        self.journal.drop_last()

    @contextmanager
    def _timed(self, step: Step) -> Iterator[_StepReport]:
        report = _StepReport(self.reporter, step)
        try:
            yield report
        except (InstallError, OSError) as error:
            failure = error if isinstance(error, InstallError) else _as_failure(error)
            report([], "failed")
            self.reporter.failed(step, failure)
            raise failure from error


class _StepReport:
    """Reports a step's outcome with its duration and the package manager's share of it."""

    def __init__(self, reporter: Reporter, step: Step) -> None:
        self._reporter = reporter
        self._step = step
        self._began = time.monotonic()
        self._package_manager_before = step.system.spent.package_manager

    def __call__(self, changes: Sequence[Change], state: str) -> None:
        seconds = time.monotonic() - self._began
        package_manager = self._step.system.spent.package_manager - self._package_manager_before
        self._reporter.ended(self._step, state, changes, (seconds, package_manager))


def _as_failure(error: BaseException) -> InstallError:
    if isinstance(error, KeyboardInterrupt):
        return InterruptedByUser("interrupted", todo="run again to continue")
    if isinstance(error, VerifyError):
        return StepError(error.what, error.why, error.todo or "check the machine and run again")
    if isinstance(error, InstallError):
        return error
    return StepError("a change to the machine failed", str(error), "fix this and run again")
