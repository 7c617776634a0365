"""Several results as one: a run, and the reruns of what failed in it. The last time that a test ran counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from refstack_worker.contract.outcomes import FAILED, PASSED, class_of, group_of, groups_above
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
    groups: dict[str, set[str]] = {}
    history: dict[str, list[tuple[int, str]]] = {}
    for test_id, tests in runs:
        for test in tests:
            # a class that could not be set up answers no more for its tests once one of them ran
            for above in groups_above(class_of(test.name)) if groups else ():
                for name in groups.pop(above, ()):
                    del last[name]
            last[test.name] = test
            if group := group_of(test.name):
                groups.setdefault(group, set()).add(test.name)
            history.setdefault(test.name, []).append((test_id, test.status))
    kept = {name: tuple(outcomes) for name, outcomes in history.items()} if len(runs) > 1 else {}
    return CombinedTests(tuple(last.values()), kept)


def is_flaky(history: History) -> bool:
    """Return whether a test both failed and passed."""
    return {FAILED, PASSED} <= {status for _, status in history}
