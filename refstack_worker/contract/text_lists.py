"""Lists that people give as files: one entry a line, or JSON; as editors on any system save them.

A line may end with a remark: ``#`` after white space, as in stestr's lists. Standard library alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from refstack_worker.contract.text_files import decode_text, lines_of
from refstack_worker.errors import UsageError

_REMARK = re.compile(r"(?:^|\s)#\s*(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """An entry, and the remark behind it."""

    entry: str
    remark: str = ""


def parse(text: str, what: str) -> list[Line]:
    """Return the entries of a list.

    :param what: the file, for messages.
    :raises UsageError: it looks like JSON and is not a JSON list of strings.
    """
    text = text.removeprefix("\ufeff")
    return list(_json(text, what) if text.lstrip().startswith("[") else _lines(text))


def decode(data: bytes, what: str) -> str:
    """Return the text of a file, see :func:`decode_text`. :raises UsageError: it is not UTF-8."""
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        raise UsageError(f"{what}: not UTF-8 (byte {error.start})") from None


def _lines(text: str) -> Iterator[Line]:
    for line in lines_of(text):
        remark = _REMARK.search(line)
        entry = (line[: remark.start()] if remark else line).strip()
        if entry:
            yield Line(entry, remark.group(1).strip() if remark else "")


def _json(text: str, what: str) -> Iterator[Line]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what}: not a JSON list: {error}") from None
    if not all(isinstance(item, str) for item in value):
        raise UsageError(f"{what}: a JSON list of strings is expected")
    yield from (Line(item) for item in value)
