"""Every way in which the installer fails, each with its exit status (docs/installer.md: add, never renumber)."""

from __future__ import annotations

DONE = 0
PENDING = 2
"""``plan`` found something to do; not a failure, but the answer for a program that asks."""


class InstallError(Exception):
    """Something is wrong: what it is, why, and what to do about it."""

    exit_code = 1
    reason = "error"

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        """One line: what, why, what to do."""
        text = self.what + (f": {self.why}" if self.why else "")
        return text + (f"; {self.todo}" if self.todo else "")


class AnswersError(InstallError):
    """The command line or the answers cannot be."""

    exit_code = 3
    reason = "answers"


class PreflightError(InstallError):
    """This machine cannot become a node as it is; nothing was changed."""

    exit_code = 4
    reason = "preflight"


class StepError(InstallError):
    """A step failed; the node is as it was before that step."""

    exit_code = 5
    reason = "step"


class UndoError(InstallError):
    """A step failed and could not be undone: somebody has to look."""

    exit_code = 6
    reason = "undo"


class VerifyError(InstallError):
    """The node is set up, but something that was proved does not hold."""

    exit_code = 7
    reason = "verify"


class BusyError(InstallError):
    """Another refstack-install is at work on this machine."""

    exit_code = 8
    reason = "busy"


class BundleError(InstallError):
    """A bundle that cannot be made, or must not be trusted."""

    exit_code = 9
    reason = "bundle"


class InterruptedByUser(InstallError):
    """Ctrl-C or SIGTERM; the step at hand was undone."""

    exit_code = 130
    reason = "interrupted"
