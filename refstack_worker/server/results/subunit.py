"""Read a posted subunit v2 stream, one packet at a time, into the tests that ran.

What is posted is not trusted: memory stays bounded whatever the bytes are, and a stream that is damaged, cut off or
empty is refused as a whole, because a certification must not rest on half a result.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from subunit import ByteStreamToStreamResult

from refstack_worker.contract.outcomes import EXPECTED_FAILURE, FAILED, OUTCOME_OF, PASSED, SELECTED
from refstack_worker.contract.secrets import Masker
from refstack_worker.contract.testcases import MAX_TEST_NAME
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.results import Counts, TestResult
from refstack_worker.server.results.masking import PIECE, MaskedStream
from refstack_worker.server.results.result_rows import RowFile, RowWriter
from refstack_worker.server.results.subunit_v1 import MIXED, has_tests

MAX_OPEN = 20_000
"""Tests that have begun and not ended, at one time."""
MAX_ID_LENGTH = 4096
MAX_REASON_LENGTH = 16_384
"""Characters of a traceback or reason that are kept beside the stream: the last ones, where the error is."""
KEPT_BYTES = 4 * MAX_REASON_LENGTH
MAX_DETAILS = 8
"""Reasons and tracebacks of one test."""
MAX_KEPT = 64 * 1024 * 1024
"""Bytes of details of all the tests that have begun and not ended."""
NOISE_BYTES = 65_536
"""Bytes of text between the packets that are overlooked: a warning that was printed into the stream."""
MAX_PACKET = 4 * 1024 * 1024
"""By the format of subunit v2."""

_HARMFUL = dict.fromkeys(
    (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    "\N{REPLACEMENT CHARACTER}",
)
"""What begins a line, moves a terminal's cursor or turns the writing around, to what stands in its place in a name."""
PARSER = "subunit.parser"
"""The test by which the library says that a stream is damaged."""
_PARSER_ERROR = "Parser Error"
_NOISE = "refstack noise"
_NAME = re.compile(r"(?P<name>[^\[(]*(?:\([^)]*\))?[^\[]*)(?:\[(?P<attributes>[^\]]*)\])?(?P<scenario>.*)\Z", re.DOTALL)
_UUID = re.compile(r"\bid-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """What a stream holds; its tests lie in a file."""

    counts: Counts
    seconds: float
    """From the begin of the first test to the end of the last; 0 when no test began."""
    tests: RowFile


def parse(stream: Path, rows: Path, secrets: Collection[str] = (), kept: BinaryIO | None = None) -> Parsed:
    """Read a stream and write its tests to ``rows``, with these secrets masked.

    :param kept: takes the stream itself, masked in the same way; byte for byte as it was when there is no secret.
    :raises ResultError: not a whole subunit v2 stream, or without any test.
    """
    masker = Masker(secrets)
    with stream.open("rb") as source, rows.open("w", encoding="utf-8") as out:
        collector = _Collector(out, masker)
        masked = MaskedStream(kept, masker, _NOISE) if kept is not None and masker else None
        try:
            ByteStreamToStreamResult(_Source(source), non_subunit_name=_NOISE).run(_Both(collector, masked))
        except (ResultError, OSError, MemoryError):
            # the last two are trouble of this server: the result may come again
            raise
        except Exception as error:
            # a packet whose checksum is right may still be nonsense, and the library raises what it happens to
            raise ResultError(f"result: damaged subunit stream: {type(error).__name__}") from error
        collector.finish()
        if masked is not None:
            masked.finish()
        elif kept is not None:
            source.seek(0)
            shutil.copyfileobj(source, kept, PIECE)
    if collector.counts.total == 0:
        raise ResultError("result: contains no test; expected a subunit stream (as 'stestr last --subunit' writes)")
    return Parsed(collector.counts, collector.seconds, collector.rows.file(rows))


def split_id(test_id: str) -> tuple[str, str]:
    """Return a test's name without the bracketed attributes, and its idempotent id in lower case (or an empty text)."""
    found = _NAME.match(test_id)
    attributes = (found["attributes"] or "") if found else ""
    uuid = _UUID.search(attributes)
    name = f"{found['name']}{found['scenario']}" if found else test_id
    return name.strip(), uuid.group(1).lower() if uuid else ""


@dataclass(frozen=True)
class _Both:
    """Passes the parser's events on to the collector, which refuses what is wrong, and then to the masked copy."""

    collector: _Collector
    masked: MaskedStream | None

    def status(self, **event: Any) -> None:
        self.collector.status(**event)
        if self.masked is not None:
            self.masked.status(**event)


class _Source:
    """A file for the parser that never reads more than a packet at once, however long a packet says it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_PACKET:
            raise ResultError("result: damaged subunit stream: a packet with an invalid length")
        return self._file.read(size)


@dataclass
class _Open:
    """A test that has begun."""

    began: float = 0.0
    details: dict[str, bytearray] = field(default_factory=dict)

    def keep(self, name: str, data: bytes) -> None:
        if name not in self.details and len(self.details) >= MAX_DETAILS:
            return
        kept = self.details.setdefault(name, bytearray())
        kept += data
        del kept[:-KEPT_BYTES]

    @property
    def size(self) -> int:
        return sum(map(len, self.details.values()))


class _Collector:
    """Takes the parser's events (the interface of ``testtools.StreamResult``) and writes each test when it ends."""

    def __init__(self, out: TextIO, masker: Masker) -> None:
        self.rows = RowWriter(out)
        self._masker = masker
        self._open: dict[str, _Open] = {}
        self._noise = bytearray()
        self._kept = 0
        self._first = self._last = 0.0

    @property
    def counts(self) -> Counts:
        return self.rows.outcomes.counted()

    @property
    def seconds(self) -> float:
        return max(0.0, self._last - self._first) if self._first else 0.0

    def status(self, test_id: str | None = None, test_status: str | None = None, **event: Any) -> None:
        moment = event["timestamp"].timestamp() if event.get("timestamp") else 0.0
        if test_id is None:
            self._overlook(event)
            return
        self._check(test_id, event)
        if test_status == SELECTED:
            self.rows.outcomes.select(test_id)
            return
        test = self._open.setdefault(test_id, _Open())
        if len(self._open) > MAX_OPEN:
            raise ResultError(f"result: more than {MAX_OPEN} tests start but do not end")
        if event.get("file_name") and _is_reason(event["file_name"]):
            self._keep(test, event["file_name"], bytes(event.get("file_bytes") or b""))
        if test_status == "inprogress":
            self._begin(test_id, moment)
        elif test_status is not None:
            if test_status == EXPECTED_FAILURE:
                self._keep(test, "reason", b"the test failed, as it is marked to (an expected failure)")
            self._end(test_id, OUTCOME_OF[test_status], moment)

    def finish(self) -> None:
        """Count as failed what began and never ended, and let classes answer for their selected tests."""
        if has_tests(self._noise):
            raise ResultError(MIXED)
        if not _is_text(self._noise):
            # a packet whose first byte was damaged looks like noise, and its test would be missing
            raise ResultError("result: damaged subunit stream: bytes between the packets that are not text")
        for test_id in self.rows.outcomes.running:
            self._open[test_id].keep("reason", b"the test began and did not end: its process was killed or died")
            self._end(test_id, FAILED, 0.0)
        answered = self.rows.outcomes.answered()
        self.rows.answer({one.test: self._row(one.test, one.outcome, _Open()) for one in answered})

    def _keep(self, test: _Open, name: str, data: bytes) -> None:
        before = test.size
        test.keep(name, data)
        self._kept += test.size - before
        if self._kept > MAX_KEPT:
            raise ResultError("result: the unfinished tests contain too much text")

    def _overlook(self, event: dict[str, Any]) -> None:
        if event.get("file_name") == _NOISE:
            self._noise += bytes(event.get("file_bytes") or b"")
        if len(self._noise) > NOISE_BYTES:
            raise ResultError(MIXED if has_tests(self._noise) else "result: not a subunit v2 stream")

    def _check(self, test_id: str, event: dict[str, Any]) -> None:
        # stestr writes a failed test of this name where a test printed stray bytes; the library does so where this very
        # stream is damaged, and then leaves out what it gives of every packet
        if test_id == PARSER and "timestamp" not in event:
            if event.get("file_name") == _PARSER_ERROR:
                error = bytes(event.get("file_bytes") or b"").decode("utf-8", "replace")[:200]
                raise ResultError(f"result: damaged or cut off subunit stream: {error}")
        elif len(test_id) > MAX_ID_LENGTH:
            raise ResultError(f"result: a test id of {len(test_id)} characters")

    def _begin(self, test_id: str, moment: float) -> None:
        self.rows.outcomes.begin(test_id)
        self._open[test_id].began = moment
        self._first = min(self._first or moment, moment or self._first)

    def _end(self, test_id: str, status: str, moment: float) -> None:
        test = self._open.pop(test_id)
        self._kept -= test.size
        self._last = max(self._last, moment)
        row = self._row(test_id, status, test)
        self.rows.end(test_id, replace(row, seconds=max(0.0, moment - test.began) if moment and test.began else 0.0))

    def _row(self, test_id: str, status: str, test: _Open) -> TestResult:
        name, uuid = split_id(test_id)
        return TestResult(
            position=0,
            name=self._masker.name(_clean(name).translate(_HARMFUL))[:MAX_TEST_NAME],
            uuid=uuid,
            status=status,
            seconds=0.0,
            started_at=test.began,
            reason="" if status == PASSED else self._reason(test),
        )

    def _reason(self, test: _Open) -> str:
        parts = [bytes(kept).decode("utf-8", "replace") for kept in test.details.values()]
        # masked before it is cut, or half a secret would stay
        return self._masker.text(_clean("\n".join(parts)))[-MAX_REASON_LENGTH:]


def _is_reason(name: str) -> bool:
    return name in ("reason", _PARSER_ERROR) or name.startswith("traceback")


def _is_text(noise: bytearray) -> bool:
    try:
        letters = noise.decode("utf-8")
    except UnicodeDecodeError:
        return False
    # no-break spaces, which French messages have, and marks that cannot be seen are text, too
    return all(unicodedata.category(letter) != "Cc" or letter in "\t\r\n\x1b" for letter in letters)


def _clean(text: str) -> str:
    """PostgreSQL takes no NUL, UTF-8 no lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
