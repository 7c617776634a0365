"""Our lists and verdicts are those of RefStack's own code, for each guideline, target and recorded result.

``REFSTACK_TEST_INTEROP`` names a folder with the guideline files; ``tests/refstack_vectors`` made the vectors.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.guidelines import KINDS, Guideline, GuidelineTest, Program
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.verdict import BY_NAME, CapabilityVerdict, Verdict, judge
from tests.refstack_vectors import recorded
from tests.refstack_vectors.__main__ import VECTORS, figure
from tests.support.refstack import guideline_files

VECTOR: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
TARGETS = [(name, target) for name, of_file in VECTOR.items() for target in of_file["targets"]]


def read(name: str) -> tuple[Guideline, Any]:
    """Return one guideline file as we read it, and as it is; skips where it is not given."""
    files = guideline_files()
    if name not in files:
        pytest.skip(f"{name} is not in REFSTACK_TEST_INTEROP")
    data = files[name].read_bytes()
    assert hashlib.sha256(data).hexdigest() == VECTOR[name]["sha256"], "another file than the vectors were made from"
    return parse(data.decode("utf-8"), name=name.removesuffix(".json")), json.loads(data)


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_the_lists_of_tests_are_refstacks(name: str, target: str) -> None:
    guideline, _ = read(name)
    program = guideline.program(target)
    found = {
        kind: {
            "capabilities": listed(one.name for one in program.capabilities[kind]),
            **{
                f"alias={alias:d},flag={flag:d}": listed(lines(program, kind, alias, flag))
                for alias in (True, False)
                for flag in (True, False)
            },
        }
        for kind in KINDS
        if program.capabilities[kind]
    }
    assert found == VECTOR[name]["targets"][target]["sets"]


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_the_verdicts_over_recorded_results_are_refstacks(name: str, target: str) -> None:
    guideline, content = read(name)
    program = guideline.program(target)
    for case, ran in recorded.cases(content).items():
        expected = VECTOR[name]["targets"][target]["verdicts"][case]
        verdict = judge(guideline, program.name, results(ran))
        assert list(verdict.refstack_count()) == expected["counted"], case
        for kind in KINDS:
            if kind in expected:
                assert status_figures(verdict, kind) == expected[kind], (case, kind)
        assert capability_digest(verdict) == expected["capabilities"], case


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_where_we_count_more_than_refstack_it_is_by_id_and_said(name: str, target: str) -> None:
    guideline, content = read(name)
    program = guideline.program(target)
    for case, ran in recorded.cases(content).items():
        verdict = judge(guideline, program.name, results(ran))
        assert verdict.count()[0] - verdict.by_id() == by_name(tuple(verdict.tests())), case


def test_every_given_file_has_a_vector() -> None:
    assert set(guideline_files()) <= set(VECTOR)


def results(ran: list[recorded.Ran]) -> list[TestResult]:
    return [TestResult(at, name, uuid, status, 1.0) for at, (name, uuid, status) in enumerate(ran, 1)]


def lines(program: Program, kind: str, alias: bool, flag: bool) -> list[str]:
    """The tests as RefStack lists them: once for each capability."""
    tests = [test for one in program.capabilities[kind] for test in one.tests if flag or not test.flagged]
    return [line for test in tests for line in test_lines(test, alias)]


def test_lines(test: GuidelineTest, alias: bool) -> list[str]:
    return [f"{name} {test.uuid}".strip() for name in (test.names if alias else (test.name,))]


test_lines.__test__ = False  # type: ignore[attr-defined]


def listed(texts: Any) -> list[Any]:
    return list(figure(texts))


def by_name(tests: tuple[Any, ...]) -> int:
    return sum(test.status == "passed" and test.decided_by == BY_NAME for test in tests)


def status_figures(verdict: Verdict, kind: str) -> list[int]:
    rows = [capability_figures(one) for one in verdict.capabilities[kind]]
    return [sum(row[at] for row in rows) for at in (0, 1, 2, 3)]


def capability_figures(one: CapabilityVerdict) -> tuple[int, int, int, int]:
    """Passed, all, flagged that passed, flagged that did not: RefStack counts the flagged among the first two."""
    flagged = by_name(one.flagged)
    return by_name(one.tests) + flagged, len(one.tests) + len(one.flagged), flagged, len(one.flagged) - flagged


def capability_digest(verdict: Verdict) -> str:
    rows = [
        f"{kind} {one.capability.name} {' '.join(map(str, capability_figures(one)))}"
        for kind in KINDS
        for one in verdict.capabilities.get(kind, ())
    ]
    return str(figure(rows)[1])
