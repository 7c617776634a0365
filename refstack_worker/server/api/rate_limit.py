"""How many calls somebody may make a minute: token buckets in the memory of one process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_KEYS = 20_000
"""Callers that are remembered; the one that was quiet for longest goes first."""


class Limiter:
    """Lets so many calls a minute through for each key; that many may come at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """:param per_minute: 0: any number."""
        self._most = float(per_minute)
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Count a call; return 0 if it may go on, else the seconds after which the next may."""
        if not self._most:
            return 0.0
        with self._lock:
            left = self._now(key)
            allowed = left >= 1
            self._keep(key, left - 1 if allowed else left)
        return 0.0 if allowed else (1 - left) * 60 / self._most

    def wait(self, key: str) -> float:
        """Return the seconds after which a call would go through, without counting one."""
        with self._lock:
            left = self._now(key) if self._most else 1.0
        return 0.0 if left >= 1 else (1 - left) * 60 / self._most

    def _now(self, key: str) -> float:
        left, at = self._left.get(key, (self._most, self._clock()))
        return min(self._most, left + (self._clock() - at) * self._most / 60)

    def _keep(self, key: str, left: float) -> None:
        self._left[key] = (left, self._clock())
        self._left.move_to_end(key)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
