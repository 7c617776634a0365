"""What the node says of itself to its servers: versions, slots, state; every 30 seconds and on change."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.envelope import NodeChannel
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.worker.server_api.attempts import Http

LOG = logging.getLogger(__name__)

SECONDS = 30.0
RETRY_SECONDS = 5.0


class NodeStatusReporter(threading.Thread):
    """Tells each server how the node is; nothing depends on its being heard."""

    def __init__(self, settings: WorkerSettings, channel: NodeChannel, look: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(name="node status", daemon=True)
        self._channel = channel
        self._look = look
        self._name = settings.node.name
        self._servers = {url: Http(url, settings.server) for url in settings.server.urls}
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._last = 0.0
        self.problems: dict[str, str] = {}
        """Server to why it did not hear; empty when it did."""

    def nudge(self) -> None:
        """Tell it now: something changed."""
        self._changed.set()

    def stop(self) -> None:
        """Tell the last state once more and end."""
        self._stopped.set()
        self._changed.set()
        if self.is_alive():
            self.join(RETRY_SECONDS)

    def run(self) -> None:
        """Tell, wait, tell."""
        ended = False
        while not ended:
            ended = self._stopped.is_set()
            self._changed.clear()
            pauses = [self._tell(url, http) for url, http in self._servers.items()]
            if not ended:
                self._changed.wait(min(pauses, default=SECONDS))

    def _tell(self, url: str, http: Http) -> float:
        try:
            answer = http.post(f"/worker/v1/nodes/{self._name}", self._message(), RETRY_SECONDS, last=True)
        except (ServerError, RefusedError) as error:
            if not self.problems.get(url):
                LOG.warning("node status: %s", error)
            self.problems[url] = str(error)
            return SECONDS
        self.problems[url] = ""
        seconds = answer.get("seconds")
        return min(max(float(seconds), 1.0), 600.0) if isinstance(seconds, (int, float)) else SECONDS

    def _message(self) -> bytes:
        # strictly newer than the last, also when the clock went back
        self._last = max(time.time(), self._last + 0.001)
        said = {"name": self._name, **self._look(), "time": self._last}
        return self._channel.seal(json.dumps(said).encode())
