"""Results: the tests of a run and how they ended.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from dataclasses import dataclass

from refstack_worker.contract.outcomes import Counts as Counts


@dataclass(frozen=True)
class TestResult:
    """One test of a result."""

    __test__ = False

    position: int
    name: str
    """Without the bracketed attributes."""
    uuid: str
    """Idempotent id; empty when the test has none."""
    status: str
    """``passed``, ``failed`` or ``skipped``."""
    seconds: float
    started_at: float = 0.0
    reason: str = ""
    """Why it was skipped, or the traceback of a failure; secrets masked."""
    times: int = 1
    """How often it ended; its status is the worst of them."""


@dataclass(frozen=True)
class ResultQuery:
    """Which tests of a run's result; what is empty does not narrow."""

    status: str = ""
    text: str = ""
    after: int = 0
    """Only positions above this one: the next page."""
    limit: int = 500
