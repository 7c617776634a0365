"""A run and the reruns of what failed in it, judged together."""

from __future__ import annotations

import time

from refstack_worker.server.domain.combined import combine, is_flaky
from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.verdict import judge
from tests.unit.server.domain.test_verdict import results, schema_2

PUT, OLD, GET = "tempest.a.T.test_put", "tempest.a.T.test_old", "tempest.a.T.test_get"


def ran(**statuses: str) -> list[TestResult]:
    names = {"put": PUT, "old": OLD, "get": GET}
    return results(*((names[name], "", status) for name, status in statuses.items()))


def test_the_last_time_that_a_test_ran_counts() -> None:
    found = combine([(1, ran(put="failed", old="passed")), (2, ran(put="passed"))])
    assert {test.name: test.status for test in found.tests} == {PUT: "passed", OLD: "passed"}
    assert found.history == {PUT: ((1, "failed"), (2, "passed")), OLD: ((1, "passed"),)}


def test_one_run_alone_has_no_history() -> None:
    assert combine([(1, ran(put="passed"))]).history == {}


def test_a_test_that_failed_and_passed_is_flaky() -> None:
    assert is_flaky(((1, "failed"), (2, "passed"))) and not is_flaky(((1, "failed"), (2, "failed")))


def test_a_class_that_could_be_set_up_the_second_time_answers_no_more() -> None:
    group = [TestResult(1, "setUpClass (tempest.a.T)", "", "failed", 0.0)]
    found = combine([(1, group), (2, ran(put="passed"))])
    assert [test.name for test in found.tests] == [PUT]


def test_the_verdict_lists_the_outcomes_and_marks_what_is_flaky() -> None:
    found = combine([(1, ran(put="failed", old="passed", get="passed")), (2, ran(put="passed"))])
    verdict = judge(parse(schema_2()), "Storage", found.tests, {}, found.history)
    assert verdict.passed and verdict.flaky() == 1
    (put, _old) = verdict.required[0].tests
    assert put.to_json()["outcomes"] == [{"run": 1, "status": "failed"}, {"run": 2, "status": "passed"}]
    assert put.to_json()["flaky"] is True


def test_a_class_answers_no_more_once_one_of_its_tests_ran() -> None:
    group = "setUpClass (tempest.a.T)"
    other = "setUpClass (tempest.a.TT)"
    first = results((group, "", "failed"), (other, "", "failed"))
    found = combine([(1, first), (2, ran(put="passed"))])
    assert [test.name for test in found.tests] == [other, PUT]
    # and again when it fails after its tests
    again = combine([(1, ran(put="passed")), (2, results((group, "", "failed")))])
    assert [test.name for test in again.tests] == [PUT, group]


def test_many_tests_and_many_classes_take_no_time() -> None:
    names = [f"tempest.a.C{number}.test" for number in range(20_000)]
    groups = [f"setUpClass (tempest.b.C{number})" for number in range(20_000)]
    tests = results(*((name, "", "failed") for pair in zip(names, groups) for name in pair))
    began = time.process_time()
    assert len(combine([(1, tests)]).tests) == 40_000
    assert time.process_time() - began < 5
