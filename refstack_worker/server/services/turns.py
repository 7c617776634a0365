"""Slow calls that one process carries out at the same time: each holds a thread that answers requests.

Each kind has its limits, and all kinds together have one: whatever the users of a vendor do at once, threads are left
for calls that take no time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from refstack_worker.server.ledger.transactions import refused

MAX_SLOW = 10
"""Slow calls of all kinds, downloads among them, that one process carries out at the same time."""
MAX_SLOW_OF_ONE = 5


@dataclass
class Places:
    """So many calls at a time, of all and of one account (:attr:`Token.account`)."""

    most: int
    of_one: int
    _held: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, account: str) -> bool:
        """Take a place, if there is one."""
        with self._lock:
            if self._held[account] >= self.of_one or sum(self._held.values()) >= self.most:
                return False
            self._held[account] += 1
            return True

    def free(self, account: str) -> None:
        """Give back a place that was taken."""
        with self._lock:
            self._held -= Counter({account: 1})


SLOW = Places(MAX_SLOW, MAX_SLOW_OF_ONE)


class Turns:
    """Lets so many calls of one kind in at a time."""

    def __init__(self, most: int, of_one: int, refusal: str, slow: Places = SLOW) -> None:
        """:param refusal: sentence for who has to wait. :param slow: places that all kinds share."""
        self._places, self._slow = Places(most, of_one), slow
        self._refusal = refusal

    @contextmanager
    def turn(self, account: str) -> Iterator[None]:
        """Hold a place. :raises RefusedError: reason ``busy``."""
        if not self._places.take(account):
            raise refused("busy", self._refusal)
        try:
            if not self._slow.take(account):
                raise refused("busy", self._refusal)
            try:
                yield
            finally:
                self._slow.free(account)
        finally:
            self._places.free(account)
