"""What failed can be run again, whatever its name looks like."""

from __future__ import annotations

import re

import pytest

from refstack_worker.contract.testcases import MAX_REGEXES, check_testcases
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.services.rerun import selection

UUID = "9b6d9a5a-1a2b-4c3d-8e4f-000000000001"


def failed(*names: str, uuid: str = "") -> list[TestResult]:
    return [TestResult(at, name, uuid, "failed", 1.0) for at, name in enumerate(names, 1)]


def test_by_name_first_and_by_id_where_the_name_is_gone() -> None:
    assert selection(failed("a.B.test_c", uuid=UUID)).names == (f"a.B.test_c[id-{UUID}]",)
    assert selection(failed("a.B.test_c")).names == ("a.B.test_c",)


def test_a_class_that_failed_as_a_whole_runs_again_as_a_whole() -> None:
    assert selection(failed("setUpClass (a.B)", "tearDownModule (a)")).names == ("a.B", "a")


@pytest.mark.parametrize("name", ["subunit.parser", "process-returncode"])
def test_stestrs_own_failure_is_no_test_to_run_again(name: str) -> None:
    assert selection(failed(name, "a.B.test_c")).names == ("a.B.test_c",)
    assert selection(failed(name)).to_json() == {}


ODD = ["a+b", "it's", "50%", '"q"', "a;b", "{'x': 1}", "<lambda>", "(x)", "a\\b", "\u200b"]


@pytest.mark.parametrize("scenario", ODD)
def test_a_scenarios_parameters_do_not_matter(scenario: str) -> None:
    found = selection(failed(f"a.B.test_c({scenario})"))
    check_testcases(found)
    assert found.names == ("a.B.test_c",)


@pytest.mark.parametrize("name", ["a.B.test_ü", "a.B.test c", "a-b.C.test_d", "a.B.", "x" * 600, "a.B.test_[", "1.2"])
def test_a_name_that_is_no_test_case_becomes_an_expression_that_finds_it(name: str) -> None:
    found = selection(failed(name))
    check_testcases(found)
    assert found.names == () and re.search(found.regexes[0], name)


def test_an_odd_name_with_an_id_is_found_by_the_id() -> None:
    assert selection(failed("a.B.test_ü", uuid=UUID)).names == (f"id-{UUID}",)


def test_a_few_odd_names_too_many_do_not_refuse_the_others() -> None:
    found = selection(failed("a.B.test_c", *(f"test ü {number}" for number in range(MAX_REGEXES + 5))))
    check_testcases(found)
    assert found.names == ("a.B.test_c",) and 100 < len(found.regexes) <= MAX_REGEXES
