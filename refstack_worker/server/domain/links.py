"""Links that need no sign-in, and the verdicts that they show.

Times are seconds since 1970 (UTC); 0 means "never".
"""

from __future__ import annotations

from dataclasses import dataclass

from refstack_worker.server.domain.guidelines import OFFICIAL


@dataclass(frozen=True)
class Link:
    """To the report of a run, or to badge and feed of a cloud and program."""

    id: int
    test_id: int | None
    cloud_id: int | None
    program: str = ""
    created_by: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0


@dataclass(frozen=True)
class CloudVerdict:
    """What the result of a run meant for a program."""

    test_id: int
    cloud_id: int
    cloud: str
    program: str
    guideline: str
    passed: bool
    count: int
    total: int
    at: float
    origin: str = OFFICIAL
    """Of the guideline: a verdict by a vendor's own file is not official."""
