"""Guideline files as the ledger keeps them, and the choice of one for a run.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredGuideline:
    """A guideline file in the ledger."""

    id: int
    name: str
    digest: str
    source: str = ""
    added_by: str = ""
    owner_id: int | None = None
    created_at: float = 0.0


@dataclass(frozen=True)
class Choice:
    """By what a run is judged."""

    guideline_id: int
    program: str
    advisory: bool = False
    """Whether the advisory tests run, too; they decide nothing."""
