"""What a step of the installation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from refstack_install.answers import Answers
from refstack_install.errors import VerifyError
from refstack_install.system import System

Record = dict[str, Any]
"""JSON: what a step needs to be undone, kept in the journal."""


@dataclass(frozen=True)
class Change:
    """One thing that is not yet as it should be."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Context:
    """What every step works with."""

    system: System
    answers: Answers


class Step(ABC):
    """A step: look, change, prove, put back. Each may be called again after an interruption at any point."""

    name: str
    """One word: in the output, the journal, the documentation."""
    title: str

    def __init__(self, context: Context) -> None:
        self.system = context.system
        self.answers = context.answers

    @abstractmethod
    def check(self) -> list[Change]:
        """Return what is not as it should be; changes nothing. :raises InstallError: it cannot be told or mended."""

    @abstractmethod
    def apply(self) -> None:
        """Make it so. :raises StepError: it cannot be done; :meth:`undo` is called then."""

    def verify(self) -> None:
        """Prove that it is so and works. :raises VerifyError: not. The default: nothing is left for :meth:`check`."""
        left = self.check()
        if left:
            raise VerifyError(f"{left[0].what}: still {left[0].before or 'missing'!r}, not {left[0].after!r}")

    def before_remove(self) -> None:  # noqa: B027 - most steps do not object
        """Object to the removal of the node, before anything is undone. :raises StepError: it must not go now."""

    def snapshot(self) -> Record:
        """Return what :meth:`undo` needs to put everything back that :meth:`apply` may change."""
        return {}

    def settle(self, record: Record) -> Record:
        """Return, after a success, the part of a snapshot that belongs to what this step itself did."""
        return record

    @abstractmethod
    def undo(self, record: Record) -> None:
        """Put back what a snapshot (or what was settled of it) says. :raises InstallError: it cannot be done."""
