"""Messages are one printable line, whatever was in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from refstack_worker.contract.messages import MAX_MESSAGE, clean_line


@given(st.text(max_size=3000))
def test_a_message_is_one_printable_line(text: str) -> None:
    line = clean_line(text)
    assert len(line) <= MAX_MESSAGE
    assert line.isprintable()


def test_no_line_can_be_smuggled_into_a_log() -> None:
    assert clean_line("done\r\n2026-11-22 root logged in\x1b[2J") == "done  2026-11-22 root logged in [2J"
