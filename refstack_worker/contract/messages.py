"""Messages for people, as they travel between the parts: one printable line of limited length.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

MAX_MESSAGE = 1024
"""Characters of a status message: what the ``test_status`` table holds."""


def clean_line(text: str) -> str:
    """Return text as one printable line of at most :data:`MAX_MESSAGE` characters (no log or header injection)."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
