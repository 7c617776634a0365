"""Results: the tests of a run and how they ended.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from refstack_worker.contract.outcomes import Counts as Counts

_PIECE = 1024 * 1024


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

    def as_row(self) -> dict[str, Any]:
        """Return the fields by name; ``asdict`` copies each value, which takes far longer."""
        return dict(vars(self))


@dataclass(frozen=True)
class ResultQuery:
    """Which tests of a run's result; what is empty does not narrow."""

    status: str = ""
    text: str = ""
    after: int = 0
    """Only positions above this one: the next page."""
    limit: int = 500
    slowest: bool = False
    """The slowest first, instead of the order in which they ended."""


@dataclass(frozen=True)
class Upload:
    """A result as it was posted, on disk."""

    path: Path
    digest: str
    """Hex SHA-256 of its bytes."""
    size: int
    summary: Mapping[str, Any]
    log: Path | None = None
    """Tempest's own log, compressed (gzip)."""
    stated_seconds: float = 0.0
    """Duration that came beside the tests: counts where the tests have no times. 0: none."""

    @classmethod
    def of(cls, path: Path, summary: Mapping[str, Any], log: Path | None = None) -> Upload:
        """Return the upload in a file."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while data := file.read(_PIECE):
                digest.update(data)
        return cls(path, digest.hexdigest(), path.stat().st_size, summary, log)


class ParsedResult(Protocol):
    """What the bytes of a result hold."""

    @property
    def counts(self) -> Counts:
        """How many tests passed, failed and were skipped."""

    @property
    def seconds(self) -> float:
        """From the begin of the first test to the end of the last."""

    @property
    def packed(self) -> Path:
        """File with the stream without the secrets of the run, compressed (gzip)."""

    @property
    def log(self) -> Path | None:
        """File with Tempest's own log without the secrets of the run, compressed (gzip); None: there is none."""

    @property
    def tests(self) -> Iterable[TestResult]:
        """The tests in the order in which they ended."""
