"""Keeps account of what is removed from the cloud."""

from __future__ import annotations

from dataclasses import dataclass, field

from refstack_worker.execute_test.progress import EventWriter


@dataclass
class Removal:
    """What was removed, and what could not be."""

    events: EventWriter
    removed: int = 0
    remaining: list[str] = field(default_factory=list)

    def done(self, what: str) -> None:
        """Report something that was removed."""
        self.removed += 1
        self.events.message(f"removed {what}")

    def failed(self, what: str, why: object) -> None:
        """Report something that is still there."""
        self.remaining.append(what)
        self.events.message(f"could not remove {what}: {why}")
