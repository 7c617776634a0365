"""The live console: each test as it starts and ends, each request of Tempest as its log shows it."""

from __future__ import annotations

import contextlib
import re
import time
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO

from refstack_worker.contract.console import MAX_LINES, ConsoleLine, RequestLine, TestLine
from refstack_worker.contract.outcomes import OUTCOME_OF
from refstack_worker.execute_test.tempest.subunit import Packet

MAX_READ = 1 << 20
"""Bytes of the log that are read at once."""
MAX_LOG_LINE = 64 * 1024
"""Bytes of a log line; a longer line is not a request."""

_REQUEST_LINE = re.compile(
    rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) \d+ INFO tempest\S*rest_client \[(\S*)[^\]]*\] "
    rb"Request \(([^)]*)\): (\d{3}) ([A-Z]+) (\S+)(?: (\d+\.\d+)s)?\s*$"
)


@dataclass(frozen=True)
class ServiceAddresses:
    """Finds the service that an address belongs to, by the cloud's catalogue."""

    catalog: Sequence[tuple[str, str]] = ()
    """Address of an endpoint and type of its service."""

    @cached_property
    def _known(self) -> list[tuple[urllib.parse.SplitResult, str]]:
        known = []
        for address, service in self.catalog:
            with contextlib.suppress(ValueError):
                known.append((urllib.parse.urlsplit(address), service))
        return known

    def service_of(self, url: str) -> str:
        """Return the type of the service; empty if the catalogue does not tell."""
        parts = urllib.parse.urlsplit(url)
        same_host = [
            (_common_steps(known.path, parts.path), service) for known, service in self._known if known[:2] == parts[:2]
        ]
        best = max((steps for steps, _ in same_host), default=0)
        services = {service for steps, service in same_host if steps == best}
        return services.pop() if len(services) == 1 else ""


class RunConsole:
    """Makes console lines of result packets and of Tempest's log."""

    def __init__(self, write: Callable[[ConsoleLine], None], log: Path, services: ServiceAddresses) -> None:
        self._write = write
        self._path = log
        self._services = services
        self._log: IO[bytes] | None = None
        self._rest = b""
        self._started: dict[str, float] = {}
        self._ended: set[str] = set()
        self._left = MAX_LINES

    def packet(self, packet: Packet) -> None:
        """Take a packet of results."""
        when = time.time() if packet.when is None else packet.when
        outcome = OUTCOME_OF.get(packet.status)
        if not packet.test or packet.test in self._ended:
            return
        if packet.status == "inprogress" and packet.test not in self._started:
            self._started[packet.test] = when
            self._add(TestLine(when, packet.test, "started"))
        elif outcome is not None:
            began = self._started.pop(packet.test, when)
            if len(self._ended) < MAX_LINES:
                self._ended.add(packet.test)
            self._add(TestLine(when, packet.test, outcome, round(max(0.0, when - began), 3)))

    def read_log(self) -> None:
        """Report the requests that the log shows since the last call."""
        if self._log is None:
            try:
                self._log = open(self._path, "rb")  # noqa: SIM115 - closed by close()
            except OSError:
                return
        while self._left > 0 and (data := self._log.read(MAX_READ)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._rest = self._rest[:MAX_LOG_LINE]
            for line in lines:
                # an address or a time that is none: a cloud may write it
                with contextlib.suppress(ValueError):
                    self._take(line)

    def close(self) -> None:
        """Read the end of the log and close it."""
        self.read_log()
        if self._log is not None:
            self._log.close()

    def _take(self, line: bytes) -> None:
        match = _REQUEST_LINE.match(line) if len(line) <= MAX_LOG_LINE else None
        if match is None:
            return
        when, request_id, test, status, method, address, seconds = (
            (group or b"").decode("utf-8", "replace") for group in match.groups()
        )
        parts = urllib.parse.urlsplit(address)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        ms = round(float(seconds or 0) * 1000)
        service = self._services.service_of(address)
        request_id = "" if request_id == "-" else request_id
        self._add(RequestLine(_local_seconds(when), method, path, int(status), ms, service, request_id, test))

    def _add(self, line: ConsoleLine) -> None:
        if self._left > 0:
            self._left -= 1
            self._write(line)


def _common_steps(known: str, path: str) -> int:
    steps = [step for step in known.split("/") if step]
    count = 0
    for ours, theirs in zip(steps, [step for step in path.split("/") if step]):
        if ours != theirs:
            break
        count += 1
    return count


def _local_seconds(local: str) -> float:
    """Return the time of a log line, which is local time as in this process."""
    return datetime.fromisoformat(local).timestamp()
