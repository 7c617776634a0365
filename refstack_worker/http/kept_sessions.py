"""Sessions that are used again: the next run's calls go over the last one's connections instead of new ones.

A session and its first connection take a node as long as a call. What is not used again within seconds is closed: the
server of a large fleet would hold thousands of idle connections open.
"""

from __future__ import annotations

import threading
import time

import requests

IDLE_SECONDS = 2.0
"""For which an unused session is kept."""
MAX_KEPT = 8
"""Sessions that are kept; a node with many slots closes the others."""


class KeptSessions:
    """Sessions that no caller uses now; safe to use from several threads."""

    def __init__(self, seconds: float = IDLE_SECONDS, max_kept: int = MAX_KEPT) -> None:
        self._seconds = seconds
        self._max_kept = max_kept
        self._lock = threading.Lock()
        self._idle: list[tuple[float, str, requests.Session]] = []
        """Since when, by the steady clock, and whom its connections trust; the longest first."""
        self._timer: threading.Timer | None = None

    def take(self, ca_file: str) -> requests.Session:
        """Return a session for the caller alone; it knows no cookies and reads nothing from the environment.

        :param ca_file: whom the caller trusts; requests before 2.32 would not ask again who is at the other end of a
            connection that was made with other authorities.
        """
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place][1] == ca_file:
                    return self._idle.pop(place)[2]
        session = requests.Session()
        session.trust_env = False
        return session

    def give_back(self, session: requests.Session, ca_file: str) -> None:
        """Keep a session for the next caller, for a moment."""
        session.cookies.clear()
        with self._lock:
            if len(self._idle) < self._max_kept:
                self._idle.append((time.monotonic(), ca_file, session))
                self._close_later(self._seconds)
                return
        session.close()

    def _close_later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._close_old)
            self._timer.daemon = True
            self._timer.start()

    def _close_old(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._timer = None
            old = [session for since, _, session in self._idle if now - since >= self._seconds]
            self._idle = self._idle[len(old) :]
            if self._idle:
                self._close_later(self._idle[0][0] + self._seconds - now)
        for session in old:
            session.close()
