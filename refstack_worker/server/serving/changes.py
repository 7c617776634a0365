"""The latest changes of all runs, for streams that follow more than one run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEPT = 1000
"""Changes that a watcher who comes back can still hear of."""
OVERLAP = 2.0
"""Seconds of which changes are asked for again: a transaction ends later than its time says."""

Change = Mapping[str, Any]
"""A run as it was after a change, with ``owner_id``."""


@dataclass
class Changes:
    """Changes in the order in which they were seen; each has a unique number, at least its time in milliseconds."""

    since: float
    """Earlier changes are not reported."""
    kept: deque[tuple[int, Change]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _revisions: dict[int, int] = field(default_factory=dict)
    _last: int = 0

    @property
    def asked_from(self) -> float:
        """Look for changes from this time on."""
        return self.since - OVERLAP

    @property
    def last(self) -> int:
        """The number of the last change."""
        return self._last

    def take(self, rows: Iterable[Any]) -> None:
        """Take what the ledger says; what was taken before is left out."""
        for row in rows:
            if self._revisions.get(row["test_id"]) == row["revision"] or row["updated_at"] < self.asked_from:
                continue
            self._revisions[row["test_id"]] = row["revision"]
            self._last = max(self._last + 1, int(row["updated_at"] * 1000))
            self.since = max(self.since, row["updated_at"])
            self.kept.append((self._last, dict(row)))
        if len(self._revisions) > 10 * KEPT:
            recent = {change["test_id"] for _, change in self.kept}
            self._revisions = {number: revision for number, revision in self._revisions.items() if number in recent}

    def after(self, number: int) -> list[tuple[int, Change]]:
        """Return the changes after the one with a number."""
        return [each for each in self.kept if each[0] > number]
