"""The threat model names a test for each threat, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not line.startswith("|---")]


def defined_in(path: Path) -> set[str]:
    """Return the tests of a module, those of a class with its name before them."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE.read_text()))))
def test_the_named_test_is_there(file: str, test: str) -> None:
    assert test.rpartition("::")[2].startswith("test_")
    assert test in defined_in(TOP / file)


def test_every_threat_has_a_test() -> None:
    header = ""
    without = []
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[-1] == "test":
            header = row
        elif header and len(cells) == 3 and "tries" in header and not NAMED.search(cells[-1]) and cells[0] != "what":
            without.append(cells[0])
    assert header and without == []
    assert len(set(NAMED.findall(PAGE.read_text()))) > 50
