"""Spans of time as people write them on a command line."""

from __future__ import annotations

import re

from refstack_worker.errors import UsageError

UNITS = {"m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> int:
    """Return the seconds in ``90m``, ``12h``, ``30d``. :raises UsageError: not in this form."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if not found:
        raise UsageError(f"{text!r}: write a duration as 90m, 12h or 30d")
    return int(found[1]) * UNITS[found[2]]
