"""Logs when a Gearman server stops responding and when it responds again, also while no run waits for it."""

from __future__ import annotations

import logging
import time

from refstack_worker.server.queue.client import QueueClient

LOG = logging.getLogger(__name__)


class QueueWatch:
    """Asks each Gearman server now and then, and compares the answers with the last ones."""

    def __init__(self, client: QueueClient, seconds: float) -> None:
        """:param seconds: between two looks; one that is silent takes some seconds of a look."""
        self._client = client
        self._seconds = seconds
        self._next = 0.0
        self._silent: set[str] = set()

    def look(self) -> None:
        """Log what changed since the last look, if it is time for another."""
        if time.monotonic() < self._next:
            return
        for server, trouble in self._client.servers().items():
            if trouble and server not in self._silent:
                LOG.warning("gearman server %s does not respond: %s", server, trouble)
                self._silent.add(server)
            elif not trouble and server in self._silent:
                LOG.warning("gearman server %s responds again", server)
                self._silent.remove(server)
        self._next = time.monotonic() + self._seconds
