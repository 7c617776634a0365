"""The log of one test out of the stored subunit stream: Tempest's requests, and the text around them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from subunit import ByteStreamToStreamResult

from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results.subunit import split_id

MAX_LOG = 2 * 1024 * 1024
"""Bytes of the log of one test."""
MAX_REQUESTS = 2000
MAX_LINE = 4096
"""Characters of a line that are looked at: Tempest cuts what it logs of a body to as many."""
_REQUEST = re.compile(
    # without an opening parenthesis in it: from each of many, the search for a closing one would go to the end
    r"Request \((?P<test>[^()]*)\): (?P<status>\d{3}) (?P<method>[A-Z]+) (?P<url>\S+)(?: (?P<seconds>[\d.]+)s)?"
)
_ID = re.compile(
    r"x-(?:compute|openstack)-request-id'?: '?(req-[0-9a-f-]{36})|x-trans-id'?: '?(tx[\w-]+)", re.IGNORECASE
)
_PATH = re.compile(r"https?://[^/\s]+")


@dataclass(frozen=True)
class LoggedRequest:
    method: str
    url: str
    status: int
    seconds: float
    request_id: str = ""

    @property
    def path(self) -> str:
        """The URL without scheme and host."""
        return _PATH.sub("", self.url, count=1) or "/"

    @property
    def is_error(self) -> bool:
        return self.status >= 400


@dataclass(frozen=True)
class RequestLog:
    requests: tuple[LoggedRequest, ...]
    text: str


def request_log(ledger: Ledger, test_id: int, name: str) -> RequestLog:
    """Return the log of a test, secrets masked. :param name: as the result has it, without the bracketed attributes."""
    collector = _RequestCollector(name)
    try:
        ByteStreamToStreamResult(_Pieces(ledger.results.stream(test_id)), non_subunit_name="noise").run(collector)
    except _Complete:
        pass
    text = bytes(collector.data).decode("utf-8", "replace")
    return RequestLog(tuple(requests_in(text)), text)


def requests_in(text: str) -> Iterator[LoggedRequest]:
    """Yield the requests in a log, each with the id that the service gave it."""
    lines = [line[:MAX_LINE] for line in text.splitlines()]
    count = 0
    for number, line in enumerate(lines):
        found = _REQUEST.search(line)
        if found and count < MAX_REQUESTS:
            count += 1
            # rest_client logs the answer's headers on the lines that follow
            near = _ID.search(" ".join(lines[number : number + 4]))
            yield LoggedRequest(
                found["method"],
                found["url"],
                int(found["status"]),
                float(found["seconds"] or 0),
                next((one for one in near.groups() if one), "") if near else "",
            )


class _Complete(Exception):  # noqa: N818 - not an error
    """The test has ended; the rest of the stream need not be read."""


class _RequestCollector:
    """Takes the parser's events (the interface of ``testtools.StreamResult``) and keeps the log of one test."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.data = bytearray()

    def status(self, test_id: str | None = None, test_status: str | None = None, **event: Any) -> None:
        if test_id is None or split_id(test_id)[0][: len(self._name)] != self._name:
            return
        if str(event.get("file_name") or "").startswith("pythonlogging"):
            self.data += bytes(event.get("file_bytes") or b"")
            del self.data[MAX_LOG:]
        if test_status not in (None, "inprogress", "exists"):
            raise _Complete


class _Pieces(io.RawIOBase):
    """A file of the pieces of a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while size < 0 or have < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        end = len(data) if size < 0 else size
        self._rest = data[end:]
        return data[:end]
