"""The outcome of one of ``doctor``'s checks."""

from __future__ import annotations

from dataclasses import dataclass

GOOD, WARNING, BAD = "ok", "warning", "bad"


@dataclass(frozen=True)
class Finding:
    """What one check found, and how to fix it."""

    check: str
    result: str
    """``ok``, ``warning`` or ``bad``."""
    found: str
    todo: str = ""
    """How to fix it."""
