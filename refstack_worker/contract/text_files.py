"""The text of files that people give, as editors and shells of any system save it.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import codecs
import errno
import io
from pathlib import Path

from refstack_worker.contract.limits import MAX_TEXT_BYTES

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_limited(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Return what a file holds.

    :param limit: in bytes; a device or a pipe may have no end.
    :raises OSError: it cannot be read, or is larger.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


def decode_text(data: bytes) -> str:
    """Return the text: UTF-8 with or without a byte order mark, or UTF-16 with one, as PowerShell writes it.

    :raises UnicodeDecodeError: it is neither.
    """
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")


def decode_leniently(data: bytes) -> str:
    """Return the same of text from elsewhere, with a replacement character for what is not valid."""
    try:
        return decode_text(data)
    except UnicodeDecodeError:
        return data.decode("utf-8-sig", "replace")


def lines_of(text: str) -> list[str]:
    """Return the lines of a text as Python reads a file's: ``\\n``, ``\\r\\n`` and ``\\r`` end one.

    ``str.splitlines`` also splits at form feeds, U+2028 and others, which may stand in a password or a name.
    """
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]
