"""Every failure of the installer with its exit status (docs/installer.md). Add new ones; never renumber."""

from __future__ import annotations

DONE = 0
PENDING = 2
"""``plan`` found changes to make. This is not a failure: programs use it to decide."""


class InstallError(Exception):
    """A failure: what happened, why, and what to do."""

    exit_code = 1
    reason = "error"

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        """Return one line: what, why, what to do."""
        text = self.what + (f": {self.why}" if self.why else "")
        return text + (f"; {self.todo}" if self.todo else "")


class AnswersError(InstallError):
    """The command line or an answer is invalid."""

    exit_code = 3
    reason = "answers"


class PreflightError(InstallError):
    """This machine cannot become a node in its present state; nothing was changed."""

    exit_code = 4
    reason = "preflight"


class StepError(InstallError):
    """A step failed and was undone."""

    exit_code = 5
    reason = "step"


class UndoError(InstallError):
    """A step failed and could not be undone; an administrator has to look at the machine."""

    exit_code = 6
    reason = "undo"


class VerifyError(InstallError):
    """The node is installed, but a check of it failed."""

    exit_code = 7
    reason = "verify"


class BusyError(InstallError):
    """Another refstack-install is running on this machine."""

    exit_code = 8
    reason = "busy"


class BundleError(InstallError):
    """A bundle cannot be made or must not be trusted."""

    exit_code = 9
    reason = "bundle"


class InterruptedByUser(InstallError):
    """Ctrl-C or SIGTERM; the current step was undone."""

    exit_code = 130
    reason = "interrupted"
