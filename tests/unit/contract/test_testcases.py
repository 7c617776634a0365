from __future__ import annotations

import pytest

from refstack_worker.contract import testcases
from refstack_worker.errors import PayloadError
from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.selection import check_testcases


@pytest.mark.parametrize("upper", ["\U0010ffff", r"\U0010ffff", r"\\\uffff", r"\N{LATIN SMALL LETTER A}"])
def test_expressions_that_take_long_to_compile_are_refused_uncompiled(upper: str) -> None:
    with pytest.raises(PayloadError, match="test names are ASCII"):
        testcases.check_testcases(testcases.Testcases(regexes=(f"(?i)[!-{upper}]",)))


def test_backslashes_in_expressions_stay() -> None:
    made = testcases.Testcases(regexes=(r"^tempest\.api\.\w+$", r"\\unit", r"[\x20-\xff]", r"\d\\\\N"))
    testcases.check_testcases(made)
    assert testcases.Testcases.from_json(made.to_json()) == made


def test_what_expressions_cost_to_compile_is_bounded_by_their_length() -> None:
    costly = "(?i)N" + "[a-z0-9_]" * 95
    with pytest.raises(PayloadError, match="are allowed"):
        testcases.check_testcases(testcases.Testcases(regexes=(costly,) * 1000))
    testcases.check_testcases(testcases.Testcases(regexes=(costly,) * (testcases.MAX_REGEX_CHARACTERS // len(costly))))


@pytest.mark.parametrize("expression", ["a.++", "x*+", "x?+", "x{2,3}+", "(?>ab)", "x(?i)", "a|(?s)b"])
def test_expressions_that_nodes_read_differently_are_refused(expression: str) -> None:
    with pytest.raises(PayloadError, match="differ between versions of Python"):
        testcases.check_testcases(testcases.Testcases(regexes=(expression,)))


@pytest.mark.parametrize(
    "expression", ["(?i)x", "(?i:x)", r"a\++", "[*+]+", "(a+)+", r"[\]+]+", "x{2,3}", "(?=a)b", "a+?"]
)
def test_expressions_that_all_nodes_read_alike_are_accepted(expression: str) -> None:
    testcases.check_testcases(testcases.Testcases(regexes=(expression,)))


UUID = "0a1b2c3d-0000-1111-2222-333344445555"


@pytest.mark.parametrize(
    "name",
    [
        "tempest/api/x.py",
        "tempest.api.x.T.test_a,tempest.api.x.T.test_b",
        "running=OS_STDOUT_CAPTURE=1 python",
        "export OS_USERNAME=x",
        "setUpClass (tempest.api.x.T)",
        "tempest.api.x.T.test_a ... ok",
        UUID,
        "0.api",
        "tempest.api.x.T.test_a:b",
    ],
)
def test_what_the_node_would_refuse_is_refused_before_it_is_queued(name: str) -> None:
    with pytest.raises(BadInput):
        check_testcases([name], "list")
    with pytest.raises(PayloadError, match="is not a test name"):
        testcases.check_testcases(testcases.Testcases(names=(name,)))


@pytest.mark.parametrize(
    "name", ["tempest.api.compute.*", r"^tempest\.api", "regex:tempest.api", "tempest.(api|scenario)"]
)
def test_an_expression_among_the_names_is_said_to_be_one(name: str) -> None:
    with pytest.raises(PayloadError, match=r"is not a test name; expressions belong in testcases\.regexes"):
        testcases.check_testcases(testcases.Testcases(names=(name,)))


@pytest.mark.parametrize("name", [UUID, f"ID-{UUID}", f"Id-{UUID.upper()}", UUID.replace(UUID[0], "a", 1)])
def test_an_id_that_is_not_written_as_one_is_shown_as_it_should_be(name: str) -> None:
    hint = f"; write id-{name[-36:]}$"
    with pytest.raises(BadInput, match=f"is not a test name, id-UUID or regex:EXPRESSION{hint}"):
        check_testcases([name], "list")
    with pytest.raises(PayloadError, match=f"is not a test name{hint}"):
        testcases.check_testcases(testcases.Testcases(names=(name,)))


@pytest.mark.parametrize(
    "name",
    [
        "tempest",
        "tempest.api.object_storage.",
        f"id-{UUID}",
        f"id-{UUID.upper()}",
        f"tempest.api.x.T.test_a[id-{UUID},smoke]",
        f"tempest.api.x.T.test_a:b[id-{UUID}]",
        f"tempest.api.x.T.test_a[id-{UUID}](a, b=1: c/d)",
        "tempest.api.x.T.test_a(scenario)",
    ],
)
def test_what_the_server_takes_the_node_takes_too(name: str) -> None:
    testcases.check_testcases(testcases.Testcases(names=(name,)))
    assert check_testcases([name], "list") == (name,)


@pytest.mark.parametrize("between", [" ", ",", ", ", "; ", "\t"])
def test_a_second_test_behind_the_id_of_the_first_is_refused_and_not_lost(between: str) -> None:
    both = f"tempest.api.x.T.test_a[id-{UUID}]{between}tempest.api.x.T.test_b[id-{UUID[:-1]}6]"
    with pytest.raises(BadInput, match="has two test names; write one per line"):
        check_testcases([both], "list")
    with pytest.raises(PayloadError, match="has two test names|is not a test name"):
        testcases.check_testcases(testcases.Testcases(names=(both,)))
