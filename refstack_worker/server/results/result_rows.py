"""The tests of a result in a file, so that their number costs little memory; each test has one row in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from refstack_worker.contract.outcomes import PASSED, Outcomes, group_of, outcome_key
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.results import TestResult

MAX_TESTS = 50_000
"""Ten times what Tempest has with its plugins; others wait to write while a result is stored and judged."""
MAX_GROUP_REASON = 2000
"""Characters of why a class could not be set up that each of its tests repeats."""
MAX_GROUP_REASONS = 1000
"""Classes whose reason is remembered."""


@dataclass(frozen=True)
class RowFile:
    """Rows as they were written, and what became of them since."""

    path: Path
    superseded: frozenset[int] = frozenset()
    """Positions of rows in whose place others stand."""
    times: dict[int, int] = field(default_factory=dict)
    """Position to how often the test ended, where that is more than once."""

    def __iter__(self) -> Iterator[TestResult]:
        """Yield the tests in the order in which they ended."""
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                test = TestResult(**json.loads(line))
                if test.position in self.times:
                    test = replace(test, times=self.times[test.position])
                if test.position not in self.superseded:
                    yield test


class RowWriter:
    """Writes a row when a test ends. What it counts, :class:`Outcomes` decides."""

    def __init__(self, out: TextIO) -> None:
        self.outcomes = Outcomes()
        self._out = out
        self._number = 0
        self._positions: dict[bytes, int] = {}
        self._superseded: set[int] = set()
        self._times: dict[int, int] = {}
        self._reasons: dict[str, str] = {}

    def end(self, test_id: str, row: TestResult) -> None:
        """Take the end of a test; a worse outcome than before takes the place of the former one.

        :param test_id: as the stream names it.
        :param row: its position does not matter.
        :raises ResultError: there are more tests than a result may have.
        """
        key = outcome_key(test_id)
        ended = self.outcomes.end(test_id, row.status)
        known = self._positions.get(key)
        if known is None or ended.is_worse:
            position = self._positions[key] = self._write(row)
        else:
            position = known
        if known is not None:
            self._times[position] = self._times.pop(known, 1) + 1
            self._superseded |= {known} - {position}
        if group_of(test_id) and row.status != PASSED and len(self._reasons) < MAX_GROUP_REASONS:
            self._reasons[test_id] = row.reason[-MAX_GROUP_REASON:]

    def answer(self, rows: dict[str, TestResult]) -> None:
        """Write a row for each selected test whose class answers for it, in the place of the class's row.

        :param rows: test id to a row with its name and id; see :meth:`Outcomes.answered`.
        """
        for one in self.outcomes.answered():
            reason = f"its class could not be set up: {one.group}\n{self._reasons.get(one.group, '')}".strip()
            self._write(replace(rows[one.test], status=one.outcome, reason=reason))
            self._superseded.add(self._positions[outcome_key(one.group)])

    def file(self, path: Path) -> RowFile:
        """Return what was written into a file."""
        return RowFile(path, frozenset(self._superseded), self._times)

    def _write(self, row: TestResult) -> int:
        self._number += 1
        if self._number > MAX_TESTS:
            raise ResultError(f"result: more than {MAX_TESTS} tests")
        self._out.write(json.dumps({**row.as_row(), "position": self._number}) + "\n")
        return self._number
