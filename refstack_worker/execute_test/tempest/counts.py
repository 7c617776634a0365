"""Counts the tests as their packets come."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from refstack_worker.contract.execute_test import ProgressEvent
from refstack_worker.execute_test.tempest.subunit import Packet

MAX_TESTS = 200_000
MAX_REASONS = 256
OUTCOMES = {"success": "passed", "xfail": "passed", "uxsuccess": "failed", "fail": "failed", "skip": "skipped"}
_WHOLE_CLASS = re.compile(r"(?:setUpClass|tearDownClass|setUpModule|tearDownModule) \((.+)\)")


@dataclass
class Counts:
    """How many tests have ended, by outcome."""

    total: int = 0
    done: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, outcome: str, count: int) -> None:
        """Count ended tests."""
        setattr(self, outcome, getattr(self, outcome) + count)
        self.done += count

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class TestCounter:
    """Follows the tests of a run."""

    __test__ = False  # not a test case for pytest

    def __init__(self) -> None:
        self.counts = Counts()
        self.last = ""
        """The test that ended last."""
        self.skip_reason = ""
        """Why the first skipped test was skipped."""
        self.running: set[str] = set()
        self.seen = 0
        """Tests and class fixtures that ended."""
        self.ended: set[str] = set()
        """Names of the tests that ended."""
        self.classes: dict[str, str] = {}
        """The outcome of each class whose fixture ended for all its tests: it could not be set up."""
        self.since: float | None = None
        """When the first test was reported, monotonic."""
        self._tests_in_class: dict[str, int] = {}
        self._began = time.monotonic()
        self._reasons: dict[str, bytes] = {}

    def listed(self, names: Iterable[str]) -> None:
        """Take the names of the selected tests, and count those whose class has ended already."""
        for name in names:
            parent = _class_of(name)
            self._tests_in_class[parent] = self._tests_in_class.get(parent, 0) + 1
            self.counts.total += 1
        for parent, outcome in self.classes.items():
            self.counts.add(outcome, self._tests_in_class.get(parent, 1) - 1)

    def packet(self, packet: Packet) -> bool:
        """Count a packet; returns whether a test ended with it."""
        if packet.file_name == "reason" and len(self._reasons) < MAX_REASONS:
            self._reasons[packet.test] = (self._reasons.get(packet.test, b"") + packet.content)[:500]
        if packet.status == "inprogress" and len(self.running) < MAX_TESTS:
            self.running.add(packet.test)
        if packet.test and self.since is None:
            self.since = time.monotonic()
        outcome = OUTCOMES.get(packet.status)
        if outcome is None or packet.test in self.ended or not packet.test:
            return False
        self.running.discard(packet.test)
        self._count(packet.test, outcome)
        reason = self._reasons.pop(packet.test, b"")
        if outcome == "skipped" and not self.skip_reason:
            self.skip_reason = reason.decode("utf-8", "replace").strip()
        return True

    def progress(self, is_over: bool = False) -> ProgressEvent:
        """Return how far the run is."""
        left = 0 if is_over else self._seconds_left()
        return ProgressEvent(**vars(self.counts), seconds_left=left, test=self.last)

    def _seconds_left(self) -> int | None:
        """Return how long the rest will take at the pace so far."""
        if not self.counts.total or not self.counts.done:
            return None
        pace = (time.monotonic() - self._began) / self.counts.done
        return round(max(0.0, pace * (self.counts.total - self.counts.done)))

    def _count(self, test: str, outcome: str) -> None:
        self.seen += 1
        self.last = test
        fixture = _WHOLE_CLASS.fullmatch(test)
        if not fixture:
            if len(self.ended) < MAX_TESTS:
                self.ended.add(test)
            self.counts.add(outcome, 1)
        elif test.startswith("setUp"):
            self._count_class(fixture.group(1), outcome)
        elif outcome == "failed":
            # a class that cannot be torn down changes the outcome of none of its tests
            self.counts.failed += 1

    def _count_class(self, name: str, outcome: str) -> None:
        """Count a class that cannot be set up: all its tests have its outcome."""
        if name not in self.classes and len(self.classes) < MAX_TESTS:
            self.classes[name] = outcome
            self.counts.add(outcome, self._tests_in_class.get(name, 1))


def _class_of(name: str) -> str:
    return re.split(r"[\[(]", name, maxsplit=1)[0].rpartition(".")[0]
