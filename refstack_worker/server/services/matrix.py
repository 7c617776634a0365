"""The verdicts of clouds as a table: a row for each cloud, a column for each program and guideline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refstack_worker.server.domain.links import CloudVerdict

MAX_VERDICTS = 5000
SHOWN = 5
"""Verdicts in a cell, the newest first."""


@dataclass(frozen=True)
class MatrixRow:
    cloud_id: int
    cloud: str
    cells: tuple[tuple[CloudVerdict, ...], ...]
    """Verdicts for each column, the newest first."""


@dataclass(frozen=True)
class Matrix:
    columns: tuple[tuple[str, str], ...]
    """Program and guideline."""
    rows: tuple[MatrixRow, ...]


def matrix(verdicts: Iterable[CloudVerdict]) -> Matrix:
    """Return verdicts as a table. :param verdicts: the newest first."""
    cells: dict[int, dict[tuple[str, str], list[CloudVerdict]]] = {}
    names: dict[int, str] = {}
    for one in verdicts:
        names.setdefault(one.cloud_id, one.cloud)
        found = cells.setdefault(one.cloud_id, {}).setdefault((one.program, one.guideline), [])
        if len(found) < SHOWN:
            found.append(one)
    # the newest guideline first within a program
    columns = sorted({column for row in cells.values() for column in row}, key=lambda one: one[1], reverse=True)
    columns.sort(key=lambda one: one[0])
    rows = [
        MatrixRow(number, names[number], tuple(tuple(row.get(column, ())) for column in columns))
        for number, row in cells.items()
    ]
    return Matrix(tuple(columns), tuple(sorted(rows, key=lambda row: (row.cloud.casefold(), row.cloud_id))))
