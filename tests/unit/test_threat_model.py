"""The threat model names a test for each threat, and every test that it names is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documented import NAMED, defined_in

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "threat-model.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not line.startswith("|---")]


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
