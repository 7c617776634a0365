"""Signs of stilted English are found as whole words, across lines, and plain English is left alone."""

from __future__ import annotations

import pytest

from tests.house import signs
from tests.house.prose import Text


def found(text: str, kind: str = "comment") -> list[str]:
    return [one.what.partition(" (")[0] for one in signs.find_signs([Text("a.py", 5, text, kind)])]


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("check it anew", "anew"),
        ("Mend that first", "mend"),
        ("it was mended", "mend"),
        ("nobody's run", "nobody"),
        ("is none\nof these", "is none of"),
        ("x is no setting", "is no …"),
        ("those who may look", "who may"),
        ("the server and his key", "he, his, him"),
        ("it was told so", "told"),
        ("as the page said", "said"),
    ],
)
def test_a_sign(text: str, sign: str) -> None:
    assert sign in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "there is no run",
        "There is no\nrun",
        "it is no longer there",
        "the renewed",
        "commend",
        "amended",
        "this",
        "unsaid",
    ],
)
def test_plain_english(text: str) -> None:
    assert found(text) == []


def test_a_key_is_not_a_text() -> None:
    assert found("said", "string") == [] and found("he said so", "string") == ["he, his, him", "said"]


def test_the_place_is_the_line_of_the_word() -> None:
    (finding,) = signs.find_signs([Text("a.py", 5, "one\ntwo\ndo it anew", "comment")])
    assert finding.place == "a.py:7" and "do it anew" in finding.what
    assert signs.count_signs([finding]) == {"anew": 1}
