"""What a node shows about itself: ``status``, ``health``, metrics, and its report to the servers."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.worker.admission import disk_space
from refstack_worker.worker.admission.admission import Admission
from refstack_worker.worker.admission.versions import AvailableVersions
from refstack_worker.worker.attempt.attempt import NodeServices
from refstack_worker.worker.attempt.outcome import AttemptOutcome
from refstack_worker.worker.metrics import NodeMetrics
from refstack_worker.worker.queue.slot import Slot
from refstack_worker.worker.server_api.node_status import NodeStatus

MAX_ERRORS = 20
"""Errors that ``status`` shows."""


class NodeOverview:
    """Collects the state of a node from its parts."""

    def __init__(
        self,
        services: NodeServices,
        admission: Admission,
        versions: AvailableVersions,
        slots: Sequence[Slot],
        software: str,
    ) -> None:
        self._services = services
        self._settings = services.settings
        self._admission = admission
        self._versions = versions
        self._slots = slots
        self._software = software
        self._since = time.time()
        self._ended: Counter[str] = Counter()
        self.metrics = NodeMetrics(services.settings.node.name, self.status)
        self._errors: deque[dict[str, Any]] = deque(maxlen=MAX_ERRORS)
        self.server_problems: Mapping[str, str] = {}
        """Server → why it did not accept the last report of the node."""

    def count(self, outcome: AttemptOutcome, seconds: float = 0.0) -> None:
        """Count an attempt that ended, and keep the error if the node is at fault. :param seconds: that it took."""
        self._ended[outcome.kind.value] += 1
        self.metrics.count(outcome.kind, seconds)
        if outcome.node_fault:
            self.add_error(outcome.reason, outcome.message)

    def add_error(self, reason: str, message: str) -> None:
        """Keep an error for ``status``."""
        self._errors.append({"time": time.time(), "reason": reason, "message": message})

    def connected(self) -> set[str]:
        """Return the Gearman servers to which at least one slot is connected."""
        return {name for slot in self._slots if slot.queue is not None for name in slot.queue.connected()}

    def folders(self) -> list[Path]:
        """Return the folders that need free disk space."""
        settings = self._settings
        folders = [settings.environments.store, settings.run.environments, settings.node.state_folder]
        return folders + ([settings.run.folder] if self._services.runner.name == "embedded" else [])

    def status(self) -> dict[str, Any]:
        """Return everything that an operator may want to see; no secret."""
        connected, urls = self.connected(), self._settings.server.urls
        return {
            "node": self._settings.node.name,
            "software": self._software,
            "pid": os.getpid(),
            "since": self._since,
            "state": self._admission.state.value,
            "accepting": self._admission.is_open,
            "problem": self._admission.problem,
            "tags": list(self._settings.node.tags),
            "versions": self._versions.labels,
            "functions": self._versions.functions(),
            "keys": {
                "fleet": [key_id for key_id, _ in self._services.opener.private.keys],
                "server": [key_id for key_id, _ in self._services.opener.servers.keys],
            },
            "runner": self._services.runner.name,
            "slots": [slot.view() for slot in self._slots],
            "gearman": [
                {"server": str(address), "connected": str(address) in connected}
                for address in self._settings.gearman.addresses
            ],
            "servers": [{"url": url, "problem": self.server_problems.get(url, "")} for url in urls],
            "spool": {"entries": len(self._services.spool.entries()), "bytes": self._services.spool.size()},
            "store": {"wheels": len(self._services.catalogue.store.names())},
            "disks": [{"folder": str(path), "free_mb": disk_space.free_mb(path)} for path in self.folders()],
            "ended": dict(self._ended),
            "last_errors": list(self._errors),
        }

    def health(self) -> dict[str, Any]:
        """Return whether the node can do its work, and what prevents it."""
        status = self.status()
        problems = [f"gearman {item['server']}: not connected" for item in status["gearman"] if not item["connected"]]
        problems += [f"{item['url']}: {item['problem']}" for item in status["servers"] if item["problem"]]
        problems += [status["problem"]] if status["problem"] else []
        if not status["versions"]:
            problems.append("this node can build no Tempest version; install a refstack-tempest package")
        return {"healthy": not problems, "state": status["state"], "problems": problems}

    def node_status(self) -> NodeStatus:
        """Return what the node reports to its servers."""
        return NodeStatus(
            versions=tuple(word for word in self._versions.served if "," not in word),
            slots=len(self._slots),
            busy=self._busy(),
            tags=self._settings.node.tags,
            state=self._admission.reported_state.value,
            software=self._software,
            plugin_sets=tuple(word for word in self._versions.served if "," in word),
        )

    def summary(self) -> str:
        """Return one line for systemd and the log."""
        problem = f", takes no runs: {self._admission.problem}" if self._admission.problem else ""
        versions = len(self._versions.offers)
        slots = f"{self._busy()} of {len(self._slots)} slots busy"
        return f"{self._admission.state.value}, {slots}, {versions} Tempest version{'s' * (versions != 1)}{problem}"

    def _busy(self) -> int:
        return sum(slot.busy for slot in self._slots)
