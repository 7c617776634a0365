"""A plot of a cloud's runs over time, as the coordinates of an inline SVG: pass rate above, duration below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 720.0, 240.0
_LEFT, _RIGHT = 56.0, 12.0
_UPPER = (16.0, 118.0)
"""Top and bottom of the pass rate."""
_LOWER = (146.0, 218.0)
"""Top and bottom of the durations."""
LEAST = 2
"""Runs below which there is nothing to see."""


@dataclass(frozen=True)
class Point:
    test_id: int
    x: float
    rate_y: float
    bar_y: float
    bar_height: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Everything that the template draws; lengths are those of the SVG's own coordinates."""

    points: tuple[Point, ...]
    line: str
    """``points`` of the pass rate's polyline."""
    bar_width: float
    rates: tuple[tuple[float, str], ...]
    """Height and label of the lines behind the pass rate."""
    durations: tuple[tuple[float, str], ...]
    summary: str
    """The same in a sentence, for who does not see it."""


def plot(history: Sequence[Any]) -> Plot | None:
    """Return the plot of rows with ``test_id, passed, failed, seconds``, the oldest first; None: too few."""
    rows = [row for row in history if row["passed"] + row["failed"]]
    if len(rows) < LEAST:
        return None
    rates = [row["passed"] / (row["passed"] + row["failed"]) for row in rows]
    least = _floor(min(rates))
    longest = max(row["seconds"] for row in rows) or 1.0
    step = (WIDTH - _LEFT - _RIGHT) / len(rows)
    points = tuple(
        _point(row, rate, _LEFT + (number + 0.5) * step, least, longest)
        for number, (row, rate) in enumerate(zip(rows, rates))
    )
    marks = (least, (1 + least) / 2, 1.0)
    return Plot(
        points,
        " ".join(f"{point.x:.1f},{point.rate_y:.1f}" for point in points),
        min(18.0, step * 0.6),
        tuple((_rate_y(mark, least), f"{mark * 100:.4g} %") for mark in marks),
        ((_LOWER[0], _time(longest)), (_LOWER[1], "0")),
        f"{len(rows)} runs. Pass rate from {min(rates) * 100:.1f} to {max(rates) * 100:.1f} percent, the last "
        f"{rates[-1] * 100:.1f}; the longest took {_time(longest)}, the last {_time(rows[-1]['seconds'])}.",
    )


def _point(row: Any, rate: float, x: float, least: float, longest: float) -> Point:
    height = (_LOWER[1] - _LOWER[0]) * row["seconds"] / longest
    said = f"run {row['test_id']}: {rate * 100:.1f} % passed, {_time(row['seconds'])}"
    return Point(row["test_id"], x, _rate_y(rate, least), _LOWER[1] - height, height, said)


def _rate_y(rate: float, least: float) -> float:
    return _UPPER[1] - (_UPPER[1] - _UPPER[0]) * (rate - least) / (1 - least)


def _floor(rate: float) -> float:
    """Return where the axis of the pass rate begins, so that small differences near the top can be seen."""
    return next((mark for mark in (0.9, 0.8, 0.5) if rate >= mark), 0.0)


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
