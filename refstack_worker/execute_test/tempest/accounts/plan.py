"""What prepared accounts are enough for: how many processes, which tests wait for one another, which cannot run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from refstack_worker.execute_test.tempest.listing import TestListing
from refstack_worker.execute_test.tempest.stestr_files import BY_CLASS


@dataclass(frozen=True)
class AccountPlan:
    """The limits that a run's accounts set."""

    listing: TestListing | None = None
    """The listed tests; None: the list was not needed yet."""
    processes: int = 0
    """How many test processes find the accounts that they need; 0: any number."""
    serial_classes: tuple[str, ...] = ()
    """Classes that need the same rare account: one process carries them out, one after the other."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Test → why it cannot run. Tempest does not get these, and they count as skipped."""
    summary: str = ""
    """What the tests need and what there is, in a sentence; empty without accounts."""

    @property
    def group(self) -> str:
        """The expression that matches the same text at the start of each test that one process has to carry out."""
        return _grouping(self.serial_classes) if self.serial_classes else BY_CLASS


def can_be_grouped(classes: Iterable[str]) -> bool:
    """Return whether one expression can bring these classes together: the start of their names is the same."""
    return len({name.partition(".")[0] for name in classes}) == 1


def _grouping(classes: Sequence[str]) -> str:
    """Return the expression that matches the same text at the start of each test of these classes."""
    together = "|".join(re.escape(name) for name in classes)
    return rf"(?=(?:{together})\.)[^\.]+\.|{BY_CLASS}"
