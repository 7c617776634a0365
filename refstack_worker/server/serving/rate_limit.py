"""How many calls a caller may make per minute, over all processes together.

A process takes calls out of the shared bucket some at a time, so that most requests do not write to the database.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from refstack_worker.server.ledger.rates import Rates

MAX_KEYS = 20_000
"""Callers that a process remembers; the one that was quiet for longest goes first."""
SHARES = 20
"""A process takes this part of a minute's calls at a time."""
KEEP_SECONDS = 60.0
"""After which calls that were taken and not made are forgotten."""


@dataclass(frozen=True)
class Allowance:
    """What a caller has left."""

    limit: int
    left: int
    wait: float
    """Seconds until the next call; 0: now."""

    @property
    def headers(self) -> dict[str, str]:
        refill = math.ceil(self.wait) if self.wait else math.ceil((self.limit - self.left) * 60 / self.limit)
        values = (("Limit", self.limit), ("Remaining", self.left), ("Reset", refill))
        return {f"RateLimit-{name}": str(value) for name, value in values}


@dataclass
class _Held:
    """Calls that this process has taken for a caller."""

    calls: int = 0
    left: float = 0.0
    at: float = 0.0
    blocked_until: float = 0.0


class Limiter:
    """Lets so many calls a minute through for each key."""

    def __init__(self, name: str, rates: Rates, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """:param per_minute: 0: any number."""
        self._name = name
        self._rates = rates
        self._most = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def take(self, key: str, cost: int = 1) -> Allowance | None:
        """Count a call and return what is left; None: there is no limit.

        :param cost: ordinary calls that this one counts as.
        """
        if not self._most:
            return None
        cost = min(cost, self._most)
        with self._lock:
            held = self._of(key)
            now = self._clock()
            if now - held.at > KEEP_SECONDS:
                held.calls = 0
            if held.calls < cost and now >= held.blocked_until:
                self._refill(key, held, cost)
            if held.calls < cost:
                return Allowance(self._most, held.calls, max(held.blocked_until - now, 60 / self._most))
            held.calls -= cost
            return Allowance(self._most, held.calls + int(held.left), 0.0)

    def _of(self, key: str) -> _Held:
        held = self._held.setdefault(key, _Held())
        self._held.move_to_end(key)
        if len(self._held) > MAX_KEYS:
            self._held.popitem(last=False)
        return held

    def _refill(self, key: str, held: _Held, cost: int) -> None:
        now, needed = self._clock(), cost - held.calls
        grant = self._rates.take(f"{self._name}:{key}", self._most, max(needed, self._most // SHARES))
        held.calls, held.left, held.at = held.calls + grant.count, grant.left, now
        lacking = cost - held.calls - grant.left
        held.blocked_until = now + max(0.0, lacking) * 60 / self._most if held.calls < cost else 0.0


@dataclass(frozen=True)
class Limits:
    """The limits of one process."""

    calls: Limiter
    """By token."""
    wrong: Limiter
    """Wrong tokens and failed sign-ins, by address."""
    forms: Limiter
    """Forms that make a secret, by their key: one that is sent again within a minute makes no second one."""
