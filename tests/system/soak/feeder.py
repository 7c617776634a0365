"""Records runs over the API, whatever happens to it meanwhile."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import sqlalchemy

from refstack_worker.errors import RefusedError, ServerError
from tests.system.faults.place import Place

BACKLOG = 100
"""Runs that wait for a worker at any time. Not all at once at the start: then no fault would meet the recording."""
PAUSE = 0.5


class Feeder(threading.Thread):
    """Keeps the queue deep until all runs are recorded; asks again, with the same key, what was not answered."""

    def __init__(self, place: Place, runs: int, is_over: Callable[[], bool]) -> None:
        """Plan it.

        :param is_over: asked before each run: whether no further one is to be recorded.
        """
        super().__init__(name="feeder", daemon=True)
        self._place = place
        self._runs = runs
        self._is_over = is_over
        self.recorded: list[int] = []
        """Ids as the API returned them."""
        self.repeated = 0
        """Calls that had to be made again."""
        self.problem = ""

    @property
    def has_ended(self) -> bool:
        return not self.is_alive()

    def run(self) -> None:
        try:
            while len(self.recorded) < self._runs and not self._is_over():
                if self._waiting() >= BACKLOG:
                    threading.Event().wait(PAUSE)
                    continue
                self._record()
        except Exception as error:  # the soak has to say so: runs that were never recorded are no success
            self.problem = f"runs could not be recorded: {type(error).__name__}: {error}"

    def _waiting(self) -> int:
        try:
            return int(self._place.rows("SELECT count(*) AS n FROM queue_run WHERE state = 'queued'")[0]["n"])
        except sqlalchemy.exc.OperationalError:
            return BACKLOG  # PostgreSQL is down

    def _record(self) -> None:
        key = uuid.uuid4().hex
        while True:
            try:
                self.recorded.append(self._place.trigger(key))
                return
            except RefusedError:
                raise
            except ServerError:
                self.repeated += 1  # the API or its database is down
            threading.Event().wait(PAUSE)
