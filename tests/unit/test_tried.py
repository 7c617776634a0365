"""The page on what users of the packages ran into names a test for each, and every test that it names is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documented import NAMED, defined_in

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "tried.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE))))
def test_what_the_page_names_is_there(file: str, test: str) -> None:
    assert test in defined_in(TOP / file)


def test_each_row_has_a_number_and_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| |", "|---"))]
    assert [row.split("|")[1].strip() for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert [row for row in rows if not NAMED.search(row)] == []
