"""Tempest's own log of a run as pages of lines: search, and the place of the first failure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.ledger.ledger import Ledger

PAGE_LINES = 1000
MAX_LINE = 20_000
"""Bytes of a line that are searched and shown: to compare 32 MiB without a line break in either case takes ten times as
much memory."""
MAX_LINES = 1_000_000
"""Lines that are looked at; the longest log of ordinary lines has a fifth of that."""
_ERRORS = (" ERROR ", " CRITICAL ", "Traceback (most recent call last)")


@dataclass(frozen=True)
class LogLine:
    number: int
    """From 1."""
    text: str

    @property
    def is_error(self) -> bool:
        return _is_error(self.text)


@dataclass(frozen=True)
class LogQuery:
    first: int = 1
    text: str = ""
    """Only lines that contain this, in either case."""
    limit: int = PAGE_LINES


@dataclass(frozen=True)
class LogPage:
    lines: tuple[LogLine, ...]
    total: int
    """Lines of the whole log."""
    more: int
    """Number of the first line of the next page; 0: this is the last."""
    failure: int
    """Line where the first test that failed left off; 0: not known."""


def log_page(ledger: Ledger, test_id: int, query: LogQuery) -> LogPage:
    """Return a page of a run's log. :raises NotFoundError: the run has none."""
    place = FailurePlace(_first_failure(ledger, test_id))
    wanted = query.text.casefold()
    found: list[LogLine] = []
    more = total = 0
    for total, text in enumerate(islice(lines_of(ledger.results.log(test_id)), MAX_LINES), 1):
        place.see(total, text)
        if total >= query.first and not more and (not wanted or wanted in text.casefold()):
            if len(found) < query.limit:
                found.append(LogLine(total, text))
            else:
                more = total
    return LogPage(tuple(found), total, more, place.line)


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a text that comes in pieces, each up to :data:`MAX_LINE`."""
    rest = b""
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest += first[: MAX_LINE - len(rest)]
        for line in others:
            yield rest.decode("utf-8", "replace")
            rest = line[:MAX_LINE]
    if rest:
        yield rest.decode("utf-8", "replace")


def log_key(name: str) -> str:
    """Return how Tempest's log names a test: ``Class:method``."""
    path, _, method = name.partition("[")[0].partition("(")[0].rpartition(".")
    return f"{path.rpartition('.')[2]}:{method}"


class FailurePlace:
    """Finds where a test left off: its last line, else the last one of its class, else the first error."""

    def __init__(self, failed: str) -> None:
        """:param failed: name of the test; empty: none failed."""
        key = log_key(failed) if failed else ""
        self._test = f"({key})"
        self._class = f"({key.partition(':')[0]}:"
        self._has_test = bool(key)
        self._lines = [0, 0, 0]

    def see(self, number: int, text: str) -> None:
        if self._has_test and self._class in text:
            self._lines[1] = number
            if self._test in text:
                self._lines[0] = number
        if not self._lines[2] and _is_error(text):
            self._lines[2] = number

    @property
    def line(self) -> int:
        """Number of the line; 0: there is none."""
        return next((line for line in self._lines if line), 0) if self._has_test else self._lines[2]


def _first_failure(ledger: Ledger, test_id: int) -> str:
    failed = ledger.results.tests(test_id, ResultQuery("failed", limit=1))
    return failed[0].name if failed else ""


def _is_error(text: str) -> bool:
    return any(word in text for word in _ERRORS)
