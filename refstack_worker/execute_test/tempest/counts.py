"""Counts the tests as their packets come."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from refstack_worker.contract.cloud_needs import quota_message
from refstack_worker.contract.outcomes import OUTCOME_OF, SELECTED, SKIPPED, Outcomes, group_of, is_set_up
from refstack_worker.contract.progress import Progress
from refstack_worker.execute_test.tempest.subunit import Packet

MAX_TESTS = 200_000
MAX_REASONS = 256


@dataclass
class ProgressCounts:
    """How many tests have ended, by outcome."""

    total: int = 0
    """Tests that were selected; 0: not known yet."""
    done: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class TestCounter:
    """Follows the tests of a run; :class:`Outcomes` decides what counts, as on the server."""

    __test__ = False  # not a test case for pytest

    def __init__(self) -> None:
        self.outcomes = Outcomes()
        self.counts = ProgressCounts()
        self.last = ""
        """The test that ended last."""
        self.skip_reason = ""
        """Why the first skipped test was skipped."""
        self.over_quota: set[str] = set()
        """Tests and class fixtures in whose error a service says that a quota was exceeded."""
        self.seen = 0
        """Tests and class fixtures that ended."""
        self.ended: set[str] = set()
        """Names of the tests that ended."""
        self.since: float | None = None
        """When the first test was reported, monotonic."""
        self._total = 0
        self._began = time.monotonic()
        self._reasons: dict[str, bytes] = {}

    @property
    def running(self) -> set[str]:
        """Tests that have begun and not ended."""
        return set(self.outcomes.running)

    @property
    def has_groups(self) -> bool:
        """Whether a class or module ended as a whole: it could not be set up, or not be torn down."""
        return bool(self.outcomes.groups)

    def listed(self, names: Iterable[str]) -> None:
        """Take the names of the selected tests; a class that could not be set up counts for its tests among them."""
        for name in names:
            self.outcomes.select(name)
            self._total += 1
        self._count()

    def packet(self, packet: Packet) -> bool:
        """Count a packet; returns whether a test ended with it."""
        if not packet.test:
            return False
        if packet.file_name == "reason" and len(self._reasons) < MAX_REASONS:
            self._reasons[packet.test] = (self._reasons.get(packet.test, b"") + packet.content)[:500]
        if _is_over_quota(packet) and len(self.over_quota) < MAX_TESTS:
            self.over_quota.add(packet.test)
        if self.since is None:
            self.since = time.monotonic()
        if packet.status == SELECTED:
            self.outcomes.select(packet.test)
        elif packet.status == "inprogress":
            self.outcomes.begin(packet.test)
        outcome = OUTCOME_OF.get(packet.status)
        if outcome is None:
            return False
        self._end(packet.test, outcome)
        return True

    def progress(self, is_over: bool = False) -> Progress:
        """Return how far the run is."""
        left = 0 if is_over else self._seconds_left()
        return Progress(**vars(self.counts), seconds_left=left, test=self.last)

    def _end(self, test: str, outcome: str) -> None:
        self.outcomes.end(test, outcome)
        self.seen += 1
        self.last = test
        if not group_of(test) and len(self.ended) < MAX_TESTS:
            self.ended.add(test)
        reason = self._reasons.pop(test, b"")
        if outcome == SKIPPED and not self.skip_reason:
            self.skip_reason = reason.decode("utf-8", "replace").strip()
        self._count()

    def _count(self) -> None:
        found = self.outcomes.counted()
        # a class that cannot be torn down fails beside its tests, which were selected
        torn_down = sum(not is_set_up(group) for group in self.outcomes.groups)
        done = min(found.total - torn_down, self._total) if self._total else found.total
        self.counts = ProgressCounts(self._total, done, found.passed, found.failed, found.skipped)

    def _seconds_left(self) -> int | None:
        """Return how long the rest will take at the pace so far."""
        if not self.counts.total or not self.counts.done:
            return None
        pace = (time.monotonic() - self._began) / self.counts.done
        return round(max(0.0, pace * (self.counts.total - self.counts.done)))


def _is_over_quota(packet: Packet) -> bool:
    is_error = packet.file_name.startswith("traceback")
    return is_error and bool(quota_message(packet.content.decode("utf-8", "replace")))
