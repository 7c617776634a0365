"""Cells of tables that spreadsheets open: text from elsewhere must not become a formula."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First letters of what a spreadsheet takes for a formula; the last four are full-width."""


def harmless(cell: str) -> str:
    """Return a text as a cell that no spreadsheet evaluates: with an apostrophe in front where it needs one."""
    return f"'{cell}" if cell[:1] in _FORMULA else cell
