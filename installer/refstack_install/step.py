"""The interface of an installation step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from refstack_install.answers.answers import Answers
from refstack_install.errors import VerifyError
from refstack_install.files import Record
from refstack_install.system import System


@dataclass(frozen=True)
class Change:
    """A difference between the machine's present and desired state."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Context:
    """The machine and the answers that every step works with."""

    system: System
    answers: Answers


class Step(ABC):
    """Checks, changes, verifies and restores one part of the machine.

    Every method may be called again after an interruption at any point.
    """

    name: str
    """Identifier in the output, the journal and the documentation."""
    title: str

    def __init__(self, context: Context) -> None:
        self.system = context.system
        self.answers = context.answers

    @abstractmethod
    def check(self) -> list[Change]:
        """Return the changes that :meth:`apply` would make. :raises InstallError: the step cannot succeed."""

    @abstractmethod
    def apply(self) -> None:
        """Make the changes. :raises StepError: one failed; the engine then calls :meth:`undo`."""

    def verify(self) -> None:
        """Check that the step took effect; by default that :meth:`check` finds no changes.

        :raises VerifyError: it did not.
        """
        left = self.check()
        if left:
            raise VerifyError(f"{left[0].what}: still {left[0].before or 'missing'!r}, expected {left[0].after!r}")

    def remarks(self) -> list[str]:
        """Return what an operator should know of a machine that passed :meth:`verify`."""
        return []

    def before_remove(self) -> None:  # noqa: B027 - most steps have nothing to check
        """Check whether a removal is safe, before any step is undone. :raises StepError: it is not."""

    def snapshot(self) -> Record:
        """Return what :meth:`undo` needs to restore the present state (JSON, kept in the journal)."""
        return {}

    def settle(self, record: Record) -> Record:
        """Return the part of a snapshot that describes this step's own changes, after it succeeded."""
        return record

    def removal_record(self, record: Record, older: Sequence[Record]) -> Record:
        """Return what a removal has to undo of a record when it undoes these older records too."""
        return record

    @abstractmethod
    def undo(self, record: Record) -> None:
        """Restore the state that a snapshot describes. :raises StepError: it cannot be restored."""
