"""Sends the live console of a run to the server, in numbered batches, without holding up the run."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from refstack_worker.contract.console import (
    BATCH_SECONDS,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_LINES,
    Batch,
    ConsoleLine,
    line_to_json,
    masked,
)
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.server_api.attempts import AttemptApi, ConsoleReply

LOG = logging.getLogger(__name__)

MAX_WAITING = 5000
"""Lines that wait for the server; further ones are dropped and counted."""
MAX_PAUSE = 30.0
"""Longest pause between batches while the server does not accept them."""
CLOSE_SECONDS = 5.0
"""Time for what is left when the run ends."""


class ConsoleSender(threading.Thread):
    """Takes lines at any pace; sends at most one batch per interval, and at the end what is left."""

    def __init__(self, api: AttemptApi, mask: Callable[[str], str]) -> None:
        super().__init__(name=f"console {api.claimed.run}", daemon=True)
        self._api = api
        self._mask = mask
        self._run_id = logs.RUN.get()
        self._lock = threading.Lock()
        self._waiting: deque[ConsoleLine] = deque()
        self._first = 0
        """Number of the first waiting line."""
        self._numbered = 0
        self._dropped = 0
        self._seconds = BATCH_SECONDS
        self._failures = 0
        self._is_over = False
        """The server keeps no more lines of this attempt."""
        self._wake = threading.Event()
        self._closed = threading.Event()

    def add(self, line: ConsoleLine) -> None:
        """Send a line soon; lines beyond the limits are dropped."""
        with self._lock:
            if self._is_over or self._numbered >= MAX_LINES or len(self._waiting) >= MAX_WAITING:
                self._dropped += 1
                return
            self._numbered += 1
            self._waiting.append(masked(line, self._mask))

    def flush(self) -> None:
        """Send what is waiting now, as when the tests have ended and the result follows."""
        self._wake.set()

    def close(self) -> None:
        """Send what is waiting, for at most a few seconds, then stop."""
        self._closed.set()
        self._wake.set()
        if self.is_alive():
            self.join()
        self._api.close()

    def run(self) -> None:
        with logs.about(self._run_id):
            while not self._closed.is_set():
                self._wake.wait(self._pause())
                self._wake.clear()
                if not self._closed.is_set():
                    self._send()
            deadline = time.monotonic() + CLOSE_SECONDS
            while self._waiting and not self._is_over and not self._failures and time.monotonic() < deadline:
                self._send()

    def _pause(self) -> float:
        return float(min(self._seconds * 2**self._failures, max(MAX_PAUSE, self._seconds)))

    def _send(self) -> None:
        batch = self._batch()
        if not batch.lines or self._is_over:
            return
        try:
            reply = self._api.console(batch)
        except RefusedError as error:
            LOG.info("console: %s", error)
            self._end()
        except ServerError as error:
            if not self._failures:
                LOG.warning("console: %s; lines wait", error)
            self._failures = min(self._failures + 1, 10)
        else:
            self._failures = 0
            self._accept(batch, reply)

    def _batch(self) -> Batch:
        with self._lock:
            lines: list[ConsoleLine] = []
            size = 0
            for line in self._waiting:
                size += len(json.dumps(line_to_json(line))) + 2
                if len(lines) == MAX_BATCH or (lines and size > MAX_BATCH_BYTES - 1024):
                    break
                lines.append(line)
            return Batch(self._first, tuple(lines), self._dropped)

    def _accept(self, batch: Batch, reply: ConsoleReply) -> None:
        with self._lock:
            # what the server expects next; never less than nothing nor more than what was sent
            accepted = min(max(reply.next - batch.first, 0), len(batch.lines))
            for _ in range(accepted):
                self._waiting.popleft()
            self._first += accepted
            self._seconds = reply.seconds
        if not accepted:
            self._failures = min(self._failures + 1, 10)  # do not send the same batch at full pace
        if reply.full:
            LOG.info("console: the server keeps no more lines of this attempt")
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._waiting.clear()
