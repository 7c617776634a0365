"""Large answers under way: who reads them slowly, or not at all, keeps few of this process's threads and not for ever.

A thread that gives out a result waits for its reader as soon as the HTTP server's buffer is full. Heartbeats need
threads too: without a limit a handful of readers who do not read would make every run look lost.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from refstack_worker.errors import ServerError
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services.turns import SLOW

LOG = logging.getLogger(__name__)

MAX_DOWNLOADS = 4
"""At the same time in one process; they also count among its slow calls."""
MAX_OF_ONE = 2
PATIENCE = 60.0
"""Seconds that any reader has ..."""
LEAST_SPEED = 32 * 1024
"""... and bytes a second that the client has to have read on average after them."""

Piece = TypeVar("Piece", str, bytes)


class Downloads:
    """Counts the large answers of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()

    def of(self, account: str, pieces: Iterable[Piece]) -> Download[Piece]:
        """Return a large answer as the HTTP server is to give it out. :raises RefusedError: reason ``busy``."""
        with self._lock:
            if sum(self._under_way.values()) >= MAX_DOWNLOADS:
                raise refused("busy", "too many downloads are running; try again in a moment")
            if self._under_way[account] >= MAX_OF_ONE:
                raise refused("busy", f"you have {MAX_OF_ONE} downloads running already; try again when one has ended")
            if not SLOW.take(account):
                raise refused("busy", "too many slow calls are running; try again in a moment")
            self._under_way[account] += 1
        return Download(iter(pieces), self._clock, lambda: self._over(account))

    @contextmanager
    def turn(self, account: str) -> Iterator[None]:
        """Hold one of the places of large answers while a stored stream is read. :raises RefusedError: ``busy``."""
        held = self.of(account, [b""])
        try:
            yield
        finally:
            held.close()

    def _over(self, account: str) -> None:
        with self._lock:
            self._under_way -= Counter({account: 1})
        SLOW.free(account)


class Download(Generic[Piece]):
    """The pieces of one answer. WSGI servers close it, however it ends; what is asked for by HEAD is only forgotten."""

    def __init__(self, pieces: Iterator[Piece], clock: Callable[[], float], over: Callable[[], None]) -> None:
        self._pieces: Iterator[Piece] = pieces
        self._clock, self._over = clock, over
        self._began = clock()
        self._given = 0
        self._open = True

    def begin(self) -> Download[Piece]:
        """Make the first piece now, so that an error is the answer and does not break one that is under way."""
        try:
            first = list(itertools.islice(self._pieces, 1))
        except BaseException:
            self.close()
            raise
        self._pieces = itertools.chain(first, self._pieces)
        return self

    def __iter__(self) -> Download[Piece]:
        return self

    def __next__(self) -> Piece:
        """Return the next piece. :raises ServerError: it is read too slowly; the connection breaks."""
        seconds = self._clock() - self._began
        if seconds > PATIENCE and self._given < seconds * LEAST_SPEED:
            raise ServerError(f"a download slower than {LEAST_SPEED} bytes a second was aborted")
        piece = next(self._pieces)
        self._given += len(piece)
        return piece

    def close(self) -> None:
        """Let the next one begin."""
        if self._open:
            self._open = False
            self._over()

    def __del__(self) -> None:
        self.close()
