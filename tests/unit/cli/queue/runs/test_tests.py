"""``refstack-queue run log``: the console, followed to the end, over attempts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest

from refstack_worker.cli.queue.runs import tests as commands

TEST = {"event": "test", "time": 60.0, "test": "a.B.test_c", "status": "failed", "seconds": 1.5}
REQUEST = {"event": "request", "time": 61.0, "method": "GET", "path": "/v3", "status": 404, "ms": 12,
           "service": "identity", "request_id": "req-1", "test": "B:test_c"}  # fmt: skip


class Console:
    """Answers with one page after the other; the run ends with the last."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = list(pages)
        self.asked: list[Any] = []

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        if not path.endswith("/console"):
            return {"state": "running" if self.pages else "finished"}
        self.asked.append((query or {}).get("after"))
        empty = {"attempt": 2, "lines": [], "next_after": None}
        return self.pages.pop(0) if self.pages else empty


def page(attempt: int, *numbers: int) -> dict[str, Any]:
    lines = [{**TEST, "number": number} for number in numbers]
    return {"attempt": attempt, "lines": lines, "next_after": numbers[-1] if numbers else None}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "POLL_SECONDS", 0)


def test_a_line_for_people() -> None:
    assert commands.console_text(TEST) == "00:01:00 failed   a.B.test_c (1.50 s)"
    assert commands.console_text(REQUEST) == "00:01:01 404      GET identity /v3 12 ms req-1"


def test_following_goes_on_where_it_was_and_begins_again_with_the_next_attempt() -> None:
    out = io.StringIO()
    console = Console(page(1, 0, 1), page(1), page(2, 0), page(2, 0))
    commands._print_console(console, 7, commands._Printer(out, False, ""), True)
    assert console.asked == [None, 1, 1, None, 0]
    assert len(out.getvalue().splitlines()) == 3


def test_only_the_lines_of_a_test() -> None:
    out = io.StringIO()
    commands._print_console(Console(page(2, 0)), 7, commands._Printer(out, False, "Other"), False)
    assert out.getvalue() == ""
