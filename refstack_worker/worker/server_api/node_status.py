"""Reports the state of the node (versions, slots, state) to its servers: every 30 seconds, and on each change."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.enrolment import NOT_ITS_KEY
from refstack_worker.contract.envelope import NodeChannel
from refstack_worker.contract.node_command import NodeAction, NodeCommand, read_command
from refstack_worker.contract.wanted_plugins import read_wanted
from refstack_worker.errors import RefusedError, SealError, ServerError
from refstack_worker.worker.server_api.connection import ServerConnection

LOG = logging.getLogger(__name__)

SECONDS = 30.0
RETRY_SECONDS = 5.0
REVOKED = "revoked"
"""Word of a server that no longer accepts this node's key."""
_OTHER_KEY = (SealError.reason, NOT_ITS_KEY)
"""Words of a server that may accept another of this node's keys."""


@dataclass(frozen=True)
class NodeStatus:
    """The state of a node, as its servers see it."""

    versions: tuple[str, ...]
    """Versions that it can build without plugins."""
    slots: int
    busy: int
    tags: tuple[str, ...]
    state: str
    """``ready``, ``paused`` or ``draining``."""
    software: str
    plugin_sets: tuple[str, ...] = ()
    """Versions with plugins: ``43.0.0,heat-tempest-plugin=3.0.0``."""


class NodeStatusReporter(threading.Thread):
    """Reports to each server; nothing depends on success."""

    def __init__(
        self,
        settings: WorkerSettings,
        channels: Sequence[NodeChannel],
        current: Callable[[], NodeStatus],
        obey: Callable[[NodeAction], None],
    ) -> None:
        """
        :param channels: to each server the first that it has the keys for is used.
        :param current: returns the state to report.
        :param obey: carries out what a server asks of the node.
        """
        super().__init__(name="node status", daemon=True)
        self.wanted_plugins: dict[str, list[dict[str, str]]] = {}
        """Server → the sets of plugins that its runs ask for and that the node registers only when it is asked."""
        self._channels = channels
        self._current = current
        self._obey = obey
        self._confirmed: dict[str, int] = {}
        """Server → id of its last command that was carried out."""
        self._name = settings.node.name
        self._servers = {url: ServerConnection(url, settings.server) for url in settings.server.urls}
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._last = 0.0
        self._revoked: set[str] = set()
        """Servers that revoked this node's key; the worker was paused for each once."""
        self.problems: dict[str, str] = {}
        """Server → why the last report failed; empty when it succeeded."""

    def nudge(self) -> None:
        """Report at once, because something changed."""
        self._changed.set()

    def stop(self) -> None:
        """Report the last state once more and end."""
        self._stopped.set()
        self._changed.set()
        if self.is_alive():
            self.join(RETRY_SECONDS)

    def run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopped.is_set()
            self._changed.clear()
            pauses = [self._report(url, connection) for url, connection in self._servers.items()]
            if not is_last:
                self._changed.wait(min(pauses, default=SECONDS))

    def _report(self, url: str, connection: ServerConnection) -> float:
        try:
            reply = self._post(url, connection)
        except (ServerError, RefusedError) as error:
            if not self.problems.get(url):
                LOG.warning("node status: %s", error)
            self.problems[url] = str(error)
            if error.reason == REVOKED and url not in self._revoked:
                # it could open nothing that it takes, and each job that it takes costs an attempt
                LOG.error("the key of this node was revoked by %s: paused; enrol it again if it is yours", url)
                self._obey(NodeAction.PAUSE)
                self._revoked.add(url)
            return SECONDS
        if self.problems.get(url):
            LOG.info("node status: %s accepts it again", url)
        self.problems[url] = ""
        self.wanted_plugins[url] = read_wanted(reply)
        self._carry_out(url, read_command(reply))
        seconds = reply.get("seconds")
        return min(max(float(seconds), 1.0), 600.0) if isinstance(seconds, (int, float)) else SECONDS

    def _post(self, url: str, connection: ServerConnection) -> Mapping[str, Any]:
        """Send the state; while keys rotate, with the next key if the server does not accept the first."""
        refusals: list[RefusedError] = []
        for channel in self._channels:
            try:
                return self._post_with(channel, url, connection)
            except RefusedError as error:
                if error.reason not in _OTHER_KEY:
                    raise
                refusals.append(error)
        raise refusals[0]

    def _post_with(self, channel: NodeChannel, url: str, connection: ServerConnection) -> Mapping[str, Any]:
        message = channel.seal(self._message(self._confirmed.get(url, 0)))
        return connection.post(f"/worker/v1/nodes/{self._name}", message, RETRY_SECONDS, last=True)

    def _carry_out(self, url: str, command: NodeCommand | None) -> None:
        """Carry a command out once, and confirm it at once with the next report."""
        if command is None or command.id <= self._confirmed.get(url, 0):
            return
        LOG.info("%s asks this node to %s", url, command.action.value)
        self._confirmed[url] = command.id
        self._obey(command.action)
        self.nudge()

    def _message(self, confirmed: int) -> bytes:
        # strictly newer than the last, also when the clock went back
        self._last = max(time.time(), self._last + 0.001)
        status = {"name": self._name, **dataclasses.asdict(self._current()), "time": self._last}
        if confirmed:
            status["command_done"] = confirmed
        return json.dumps(status).encode()
