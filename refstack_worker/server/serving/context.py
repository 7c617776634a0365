"""What all views work with: the ledger, the services over it, and what this process counts and limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import current_app

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.submitter import Submitter
from refstack_worker.server.services.clouds import CloudService
from refstack_worker.server.services.guidelines import GuidelineService
from refstack_worker.server.services.runs import RunService
from refstack_worker.server.serving.downloads import Downloads
from refstack_worker.server.serving.events import Hub
from refstack_worker.server.serving.rate_limit import Limits
from refstack_worker.server.serving.request_metrics import RequestMetrics

_NAME = "refstack"


@dataclass(frozen=True)
class HttpContext:
    ledger: Ledger
    submitter: Submitter
    hub: Hub
    limits: Limits
    uploads: Path
    """Folder of results in transit."""
    openapi: Callable[[], dict[str, Any]]
    """Returns the OpenAPI document."""
    downloads: Downloads = field(default_factory=Downloads)
    requests: RequestMetrics = field(default_factory=RequestMetrics)

    @property
    def settings(self) -> ServerSettings:
        return self.ledger.settings

    @property
    def runs(self) -> RunService:
        return RunService(self.ledger, self.submitter)

    @property
    def clouds(self) -> CloudService:
        return CloudService(self.ledger)

    @property
    def guidelines(self) -> GuidelineService:
        return GuidelineService(self.ledger)

    def publish(self, extensions: dict[str, object]) -> None:
        """Make this the context of the application with these extensions."""
        extensions[_NAME] = self


def context() -> HttpContext:
    """Return the context of the application that answers the present request."""
    found: HttpContext = current_app.extensions[_NAME]
    return found
