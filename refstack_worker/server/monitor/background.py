"""A thread for what takes longer than the monitor's watchdog waits; it ends when nothing is wanted any more."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundWork:
    """Does the same work beside the watch over the runs, as often as it is wanted and one time after another."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        """:param work: does all there is to do; it handles its own errors."""
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._is_wanted = False
        self._thread: threading.Thread | None = None

    def want(self) -> None:
        """Have the work done soon; once more if it is under way, as it may have passed what is new."""
        with self._lock:
            self._is_wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is under way; return whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def _run(self) -> None:
        while self._is_still_wanted():
            self._work()

    def _is_still_wanted(self) -> bool:
        """Return whether to go on; the decision to end and the end are one step, so that no wish gets lost."""
        with self._lock:
            if not self._is_wanted:
                self._thread = None
                return False
            self._is_wanted = False
            return True
