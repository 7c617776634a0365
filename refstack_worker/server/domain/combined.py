"""Several results as one: a run, and the reruns of what failed in it. The last time that a test ran counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from refstack_worker.contract.outcomes import FAILED, PASSED, group_of, is_below
from refstack_worker.server.domain.results import TestResult

History = tuple[tuple[int, str], ...]
"""Run and outcome of each time that a test ran, the oldest first."""


@dataclass(frozen=True)
class CombinedTests:
    """The tests of several runs."""

    tests: tuple[TestResult, ...]
    history: Mapping[str, History] = field(default_factory=dict)
    """Name to its outcomes; empty where there is one run alone."""


def combine(runs: Sequence[tuple[int, Iterable[TestResult]]]) -> CombinedTests:
    """Return what several runs say together.

    :param runs: id and tests, the oldest first.
    """
    last: dict[str, TestResult] = {}
    history: dict[str, list[tuple[int, str]]] = {}
    for test_id, tests in runs:
        for test in tests:
            _drop_healed_groups(last, test)
            last[test.name] = test
            history.setdefault(test.name, []).append((test_id, test.status))
    kept = {name: tuple(outcomes) for name, outcomes in history.items()} if len(runs) > 1 else {}
    return CombinedTests(tuple(last.values()), kept)


def is_flaky(history: History) -> bool:
    """Return whether a test both failed and passed."""
    return {FAILED, PASSED} <= {status for _, status in history}


def _drop_healed_groups(last: dict[str, TestResult], test: TestResult) -> None:
    """A class that could not be set up answers no more for its tests once one of them ran."""
    for name in [name for name in last if group_of(name)]:
        if is_below(test.name, group_of(name)):
            del last[name]
