"""Slow calls that one process carries out at the same time: each holds a thread that answers requests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from refstack_worker.server.ledger.transactions import refused


@dataclass
class Turns:
    """Lets so many in at a time, of all and of one account (:attr:`Token.account`)."""

    most: int
    of_one: int
    refusal: str
    """Sentence for who has to wait."""
    _held: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def turn(self, account: str) -> Iterator[None]:
        """Hold a place. :raises RefusedError: reason ``busy``."""
        with self._lock:
            if self._held[account] >= self.of_one or sum(self._held.values()) >= self.most:
                raise refused("busy", self.refusal)
            self._held[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= Counter({account: 1})
