from __future__ import annotations

from datetime import datetime, timezone

import pytest

from refstack_worker.server.domain.schedules import DAYS, Times


def at(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("times", "now", "expected"),
    [
        (Times.of("02:30"), "2026-11-26 01:00:00", "2026-11-26 02:30:00"),
        (Times.of("02:30"), "2026-11-26 02:30:00", "2026-11-27 02:30:00"),  # exactly then: it was due
        (Times.of("02:30"), "2026-11-26 02:29:59", "2026-11-26 02:30:00"),
        (Times.of("00:00"), "2026-12-31 23:59:59", "2027-01-01 00:00:00"),
        (Times.of("23:59"), "2028-02-28 23:59:30", "2028-02-29 23:59:00"),
        (Times.of("02:30", ("thu",)), "2026-11-26 01:00:00", "2026-11-26 02:30:00"),  # a Thursday
        (Times.of("02:30", ("thu",)), "2026-11-26 03:00:00", "2026-12-03 02:30:00"),
        (Times.of("02:30", ("mon", "wed")), "2026-11-26 03:00:00", "2026-11-30 02:30:00"),
        (Times.of("12:00", ("sun",)), "2026-11-29 12:00:01", "2026-12-06 12:00:00"),
    ],
)
def test_the_next_time(times: Times, now: str, expected: str) -> None:
    assert times.after(at(now)) == at(expected)


def test_times_are_read_and_shown() -> None:
    assert Times.of("07:05").clock == "07:05" and Times.of("07:05").minute == 425
    assert Times.of("07:05", ("sun", "mon")).days == ("mon", "sun") and Times.of("07:05").days == DAYS
