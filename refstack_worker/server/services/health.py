"""Is this process able to do its work: does it read its keys, and write its database and its folder?"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import update

from refstack_worker.config.server import ServerSettings
from refstack_worker.config.server_values import FLEET
from refstack_worker.contract import keys
from refstack_worker.errors import KeyFileError, LedgerError, RefstackError
from refstack_worker.server.db import migrate, queue_tables
from refstack_worker.server.ledger.ledger import Ledger

LOG = logging.getLogger(__name__)

KNOWN_SECONDS = 5.0
"""How long an answer is reused for further calls."""


class HealthCheck:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._good_until = 0.0

    def check(self) -> None:
        """Raise :class:`LedgerError` if something is missing; the log has the details."""
        migrate.check(self._ledger.database)
        if time.monotonic() < self._good_until:
            return
        for what, check in (("keys", check_keys), ("data folder", check_folder)):
            try:
                check(self._ledger.settings)
            except RefstackError as error:
                LOG.error("health: %s", error)
                raise LedgerError(f"{what}: cannot be used; the log of this server says why") from error
        check_writing(self._ledger)
        self._good_until = time.monotonic() + KNOWN_SECONDS


def check_keys(settings: ServerSettings) -> None:
    """Read the key files that the queue needs. :raises KeyFileError: one cannot be used."""
    if settings.queue.method != "gearman":
        return
    _load("SIGN_KEY_FILE", keys.load_sign_private, settings.keys.sign)
    _load("STORE_KEY_FILE", keys.load_seal_private, settings.keys.store)
    if settings.keys.seal_to == FLEET:
        _load("FLEET_KEY_FILE", keys.load_seal_public, settings.keys.fleet)


def _load(setting: str, load: Callable[[Path], object], path: Path) -> None:
    try:
        load(path)
    except KeyFileError as error:
        raise KeyFileError(f"{setting}: {error}") from error


def check_folder(settings: ServerSettings) -> None:
    """See that uploads can be kept. :raises LedgerError: they cannot."""
    if settings.data.exists() and not os.access(settings.data, os.W_OK | os.X_OK):
        raise LedgerError(f"{settings.data}: cannot be written by this user; give it to the user of the services")


def check_writing(ledger: Ledger) -> None:
    """Write to the database without changing anything. :raises LedgerError: it refuses."""
    table = queue_tables.setting
    with ledger.database.writing() as connection:
        connection.execute(update(table).where(table.c.name == "health").values(value=table.c.value))
