"""The live console of a run: what its tests do and which requests they send, while they do it.

``execute_test`` prints a line of JSON for each; the node sends them in batches; the server keeps a limited number.
Described in ``docs/protocol.md``. Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Union

from refstack_worker.contract.messages import printable

MAX_LINES = 100_000
"""Console lines of one attempt that are sent and kept; later ones are only counted."""
MAX_BATCH = 500
"""Lines in one batch."""
MAX_BATCH_BYTES = 256 * 1024
"""Size of the body of a batch."""
BATCH_SECONDS = 1.0
"""Interval between batches unless the server asks for a longer one: with the page's own, a line is shown within 3."""
MAX_TEST = 300
"""Characters of a test's name."""
MAX_PATH = 300
"""Characters of a request's path."""
MAX_WORD = 80
"""Characters of a method, a service or a request id."""

TEST_STATUSES = ("started", "passed", "failed", "skipped")


@dataclass(frozen=True)
class TestLine:
    """A test started or ended."""

    __test__ = False  # not a test case for pytest

    time: float
    """Seconds since 1970, by the clock of the node."""
    test: str
    status: str
    """One of :data:`TEST_STATUSES`."""
    seconds: float = 0.0
    """How long it took; 0 when it started."""


@dataclass(frozen=True)
class RequestLine:
    """A request that Tempest sent to the cloud, and its response."""

    time: float
    method: str
    path: str
    """With the query, without scheme and host."""
    status: int
    """HTTP status of the response."""
    ms: int
    """Milliseconds until the response."""
    service: str = ""
    """Type in the cloud's catalogue; empty if the address is not in it."""
    request_id: str = ""
    test: str = ""
    """``Class:method`` that sent it, as Tempest's log names it."""


ConsoleLine = Union[TestLine, RequestLine]

_LINE_KINDS: Mapping[str, type[Any]] = {"test": TestLine, "request": RequestLine}
_LINE_NAMES = {line_kind: line_name for line_name, line_kind in _LINE_KINDS.items()}
_LINE_LENGTHS = {"test": MAX_TEST, "path": MAX_PATH}
_MAX_TIME = 4_102_444_800.0
"""The year 2100."""
_LINE_BOUNDS = {"time": _MAX_TIME, "seconds": 1e6, "ms": 10**9, "status": 999}


@dataclass(frozen=True)
class Batch:
    """The lines that one call to the server sends."""

    first: int
    """Number of its first line; the lines of an attempt are numbered from 0."""
    lines: tuple[ConsoleLine, ...]
    dropped: int = 0
    """Lines of the attempt so far that were never numbered: the node could not keep them."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, to which the node adds its claim."""
        return {"first": self.first, "lines": [line_to_json(line) for line in self.lines], "dropped": self.dropped}


def line_to_json(line: ConsoleLine, mask: Callable[[str], str] = str) -> dict[str, Any]:
    """Return a line as a JSON object. :param mask: applied to each text in it, but to the fixed words of a status."""
    # not asdict(), which copies: the server does this for every line of every run
    values = {name: mask(value) if isinstance(value, str) else value for name, value in vars(line).items()}
    return {"event": _LINE_NAMES[type(line)], **values, "status": line.status}


def read_line(value: object) -> ConsoleLine | None:
    """Return the line in a JSON value; None if it is not one. Never raises; long texts are cut."""
    kind = _LINE_KINDS.get(str(value.get("event"))) if isinstance(value, Mapping) else None
    if kind is None or not isinstance(value, Mapping):
        return None
    usable = {each.name: _usable_value(each.name, each.type, value.get(each.name)) for each in fields(kind)}
    given = {name: item for name, item in usable.items() if item is not None}
    try:
        line: ConsoleLine = kind(**given)
    except TypeError:  # a field without a default is missing or wrong
        return None
    return None if isinstance(line, TestLine) and line.status not in TEST_STATUSES else line


def read_batch(value: object) -> Batch | None:
    """Return the batch in a JSON value; None if it, or one of its lines, is not valid. Never raises."""
    if not isinstance(value, Mapping):
        return None
    first, lines, dropped = _line_count(value.get("first")), value.get("lines"), _line_count(value.get("dropped", 0))
    if first is None or dropped is None or not isinstance(lines, list) or len(lines) > MAX_BATCH:
        return None
    read = [read_line(line) for line in lines]
    if None in read:
        return None
    return Batch(first, tuple(line for line in read if line is not None), dropped)


def masked(line: ConsoleLine, mask: Callable[[str], str]) -> ConsoleLine:
    """Return a line with its texts masked."""
    texts: dict[str, Any] = {name: mask(value) for name, value in asdict(line).items() if isinstance(value, str)}
    return replace(line, **texts)


def _usable_value(name: str, kind: object, value: object) -> Any:
    if kind == "str":
        return (
            printable(" ".join(value.split()))[: _LINE_LENGTHS.get(name, MAX_WORD)] if isinstance(value, str) else None
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LINE_BOUNDS[name]:
        return None
    return int(value) if kind == "int" else float(value)


def _line_count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**9
    return value if is_count and isinstance(value, int) else None
