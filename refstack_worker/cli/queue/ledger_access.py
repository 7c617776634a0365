"""What the commands of ``refstack-queue`` share: the server's settings and its ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from refstack_worker.cli.queue.ownership import give_to_service
from refstack_worker.config.server import ServerSettings
from refstack_worker.server.ledger.ledger import Ledger


def settings_of(app: Any) -> ServerSettings:
    """Return the server's settings (``refstack.cfg``). :raises ConfigError: they cannot be read or are not right."""
    found = app.settings
    assert isinstance(found, ServerSettings)  # noqa: S101 - for the type checker
    return found


@contextmanager
def open_ledger(settings: ServerSettings) -> Iterator[Ledger]:
    """Give the ledger of some settings, closed at the end."""
    ledger = Ledger(settings)
    try:
        yield ledger
    finally:
        ledger.close()
        give_to_service(settings)
