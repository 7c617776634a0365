"""What two parts must agree on is written once, in contract/: nothing outside writes its literals again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.contract import export_formats, limits
from refstack_worker.contract.execute_test import BY_TIME_LIMIT, RESULT_FILES, Reason

PACKAGE = Path(__file__).resolve().parents[3] / "refstack_worker"

FACTS: dict[str, frozenset[object]] = {
    "limits": frozenset({limits.MAX_RUN_SECONDS, limits.DEFAULT_RUN_SECONDS, limits.MAX_SECRET_CHARACTERS}),
    "execute_test, its files": frozenset(RESULT_FILES) - {"subunit"},
    "execute_test, its reasons": frozenset({Reason.NOT_POSTED.value, Reason.BAD_INPUT.value, BY_TIME_LIMIT}),
    "execute_test, its options": frozenset({"--conf_json", "--tempest_home", "--post-only", "--cleanup-only"}),
    "heartbeat, its answer": frozenset({"heartbeat_seconds"}),
    "export formats": frozenset({export_formats.SUBUNIT_V1, export_formats.JUNIT, *export_formats.ON_PAGES.values()})
    - {"JSON", "CSV"},
}
MAY_WRITE = {
    # the answer to a claim has the interval too
    "heartbeat_seconds": {"server/api/worker.py", "worker/doctor/selftest_server.py"},
    # a bound of histograms, which happens to be the same number
    "14400": {"server/ledger/statistics.py", "worker/metrics.py"},
    # the parser declares the options
    "--post-only": {"execute_test/arguments.py"},
    "--cleanup-only": {"execute_test/arguments.py"},
}
"""Literal to the modules that may write it all the same."""


def literals(path: Path) -> Iterator[tuple[int, object]]:
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.lineno, node.value


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "contract" not in path.relative_to(PACKAGE).parts]


def test_literals_of_the_contract_stand_in_the_contract_alone() -> None:
    wanted = {fact: subject for subject, facts in FACTS.items() for fact in facts}
    again = []
    for path in modules():
        name = str(path.relative_to(PACKAGE))
        for line, value in literals(path):
            if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value in wanted:
                if name not in MAY_WRITE.get(str(value), ()):
                    again.append(f"{name}:{line}: {value!r} ({wanted[value]})")
    assert not again


@pytest.mark.parametrize("text", ["passw", "_key", "credential"])
def test_secrets_are_defined_once(text: str) -> None:
    """No other expression decides by a name whether a value is secret."""
    compiled = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "compile"
        for argument in node.args
        if isinstance(argument, ast.Constant) and text in str(argument.value)
    ]
    assert not compiled
