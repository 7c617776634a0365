"""Schedules: runs that start by themselves at a time of the day, on some days of the week.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Times:
    """When a schedule is due, in UTC."""

    minute: int
    """Minute of the day: 150 is 02:30."""
    days: tuple[str, ...] = DAYS

    @classmethod
    def of(cls, text: str, days: tuple[str, ...] = DAYS) -> Times:
        """Return the times for a clock time such as ``02:30``."""
        hours, _, minutes = text.partition(":")
        return cls(int(hours) * 60 + int(minutes), tuple(day for day in DAYS if day in days))

    @property
    def clock(self) -> str:
        """The time of the day as ``02:30``."""
        return f"{self.minute // 60:02d}:{self.minute % 60:02d}"

    def after(self, moment: float) -> float:
        """Return the first time later than a moment."""
        now = datetime.fromtimestamp(moment, timezone.utc)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for ahead in range(8):
            due = midnight + timedelta(days=ahead, minutes=self.minute)
            if due > now and DAYS[due.weekday()] in self.days:
                return due.timestamp()
        raise ValueError("a schedule needs a day of the week")


@dataclass(frozen=True)
class NewSchedule:
    cloud_id: int
    body: Mapping[str, Any] = field(repr=False)
    """What the run is asked for with; no password: the cloud stores them."""
    times: Times
    owner_id: int | None = None
    """None: the operators'."""
    label: str = ""
    created_by: str = ""


@dataclass(frozen=True)
class Schedule:
    id: int
    cloud_id: int
    cloud_label: str
    body: Mapping[str, Any] = field(repr=False)
    times: Times
    owner_id: int | None
    label: str
    created_at: float
    created_by: str
    next_at: float
    paused_at: float = 0.0
    last_at: float = 0.0
    """When it was due last."""
    last_test_id: int | None = None
    problem: str = ""
    """Why no run started when it was due last; empty: one did."""
