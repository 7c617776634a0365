"""Lists as people and their editors write them."""

from __future__ import annotations

import pytest

from refstack_worker.contract.text_lists import Line, decode, parse
from refstack_worker.errors import UsageError


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a.B.c\n\n  d.E.f  \n", [Line("a.B.c"), Line("d.E.f")]),
        ("a.B.c[id-1,smoke]\r\nd\r\n", [Line("a.B.c[id-1,smoke]"), Line("d")]),
        ("a # why\nb\t# tab\nc#d\n# all\n\t#\n", [Line("a", "why"), Line("b", "tab"), Line("c#d")]),
        ("\ufeffa\n", [Line("a")]),
        ("a(b\u2028c)\r\nd\x0ce\r", [Line("a(b\u2028c)"), Line("d\x0ce")]),
        ('["a", "b # c"]', [Line("a"), Line("b # c")]),
        ('\ufeff\n [\n"a"]\n', [Line("a")]),
        ("", []),
    ],
)
def test_lines_remarks_and_json(text: str, lines: list[Line]) -> None:
    assert parse(text, "list") == lines


@pytest.mark.parametrize("text", ["[a]", '["a",]', "[1]", '["a"', "[" * 100_000, "[id-1]\n"])
def test_what_looks_like_json_and_is_not_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="^l.json: "):
        parse(text, "l.json")


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode(b"\xef\xbb\xbfa", "f") == "a"
    with pytest.raises(UsageError, match=r"f: not UTF-8 \(byte 1\)"):
        decode(b"a\xff", "f")
