"""Which test cases run again what failed: by name, whatever the names look like."""

from __future__ import annotations

import re
from collections.abc import Iterable

from refstack_worker.contract import test_choice
from refstack_worker.contract.outcomes import group_of
from refstack_worker.contract.testcases import MAX_REGEX_CHARACTERS, MAX_REGEXES, MAX_TEST_NAME, Testcases
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.services.own_tests import OF_STESTR

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
MAX_LETTERS = 250
"""Limit for a name that becomes an expression; escaping can double its length."""
MAX_EXPRESSION = 2 * MAX_LETTERS + 1
MAX_NAME = MAX_TEST_NAME - len("[id-00000000-0000-0000-0000-000000000000]")
"""The limit holds for a test case with the id."""


def selection(failed: Iterable[TestResult]) -> Testcases:
    """Return the test cases that select these tests again.

    A name with a scenario's parameters selects all scenarios of its test. A name that cannot be written as a test case
    becomes an expression; of those only as many are taken as a run may have.
    """
    names: dict[str, None] = {}
    regexes: dict[str, None] = {}
    room = MAX_REGEX_CHARACTERS - MAX_EXPRESSION
    for test in failed:
        if test.name in OF_STESTR:
            continue
        plain = group_of(test.name) or test.name.partition("(")[0]
        if _NAME.fullmatch(plain) and len(plain) <= MAX_NAME:
            names[test_choice.entry(plain, test.uuid)] = None
        elif test.uuid:
            names[f"id-{test.uuid}"] = None
        elif len(regexes) < MAX_REGEXES and room >= 0:
            regexes[_expression(plain)] = None
            room -= len(_expression(plain))
    return Testcases(tuple(names), tuple(regexes))


def _expression(name: str) -> str:
    """Return an expression that finds a name; it matches any character in place of one that is not ASCII."""
    text = "".join(
        re.escape(letter) if letter.isascii() and letter.isprintable() else "." for letter in name[:MAX_LETTERS]
    )
    return f"^{text}"
