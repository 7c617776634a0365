"""Messages for people, as they travel between the parts: one printable line of limited length.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

MAX_MESSAGE = 1024
"""Characters of a status message: what the ``test_status`` table holds."""


def printable(text: str, kept: str = "", instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Return text with another character in place of each that moves a cursor, ends a line or turns the writing around.

    :param kept: such characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in kept else instead for letter in text)


def clean_line(text: str) -> str:
    """Return text as one printable line of at most :data:`MAX_MESSAGE` characters (no log or header injection)."""
    line = printable(text, instead=" ").strip()
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
