from __future__ import annotations

import pytest

from refstack_worker.contract import testcases
from refstack_worker.errors import PayloadError


@pytest.mark.parametrize("upper", ["\U0010ffff", r"\U0010ffff", r"\\\uffff", r"\N{LATIN SMALL LETTER A}"])
def test_expressions_that_take_long_to_compile_are_refused_uncompiled(upper: str) -> None:
    with pytest.raises(PayloadError, match="test names are ASCII"):
        testcases.check_testcases(testcases.Testcases(regexes=(f"(?i)[!-{upper}]",)))


def test_backslashes_in_expressions_stay() -> None:
    testcases.check_testcases(
        testcases.Testcases(regexes=(r"^tempest\.api\.\w+$", r"\\unit", r"[\x20-\xff]", r"\d\\\\N"))
    )


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
