from __future__ import annotations

import pytest

from refstack_worker.errors import UsageError
from refstack_worker.server.services.inputs.moments import moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("2026-11-25", 1795564800.0),
        ("2026-11-25T21:36:00Z", 1795642560.0),
        ("2026-11-25 21:36:00", 1795642560.0),
        ("2026-11-25T23:36:00+02:00", 1795642560.0),
    ],
)
def test_dates_and_times(text: str, seconds: float) -> None:
    assert moment(text, "since") == seconds


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "1795642560"])
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="until: must be a date or a time"):
        moment(text, "until")
