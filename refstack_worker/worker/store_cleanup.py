"""Removes from the store what only removed Tempest packages used, once no run needs it any more."""

from __future__ import annotations

import logging
import threading

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue
from refstack_worker.errors import RefstackError

LOG = logging.getLogger(__name__)


class StoreCleanup:
    """Cleans up in a thread after versions have gone: a package's own clean-up spares what a run still uses."""

    def __init__(self, settings: EnvironmentSettings) -> None:
        self._settings = settings
        self._is_due = False
        self._thread: threading.Thread | None = None

    def versions_changed(self, before: set[str], now: set[str]) -> None:
        """Note whether a version has gone."""
        if before - now:
            self._is_due = True

    def start_if_due(self, busy: bool) -> None:
        """Begin if a version has gone and no run is under way; returns at once."""
        if not self._is_due or busy or (self._thread is not None and self._thread.is_alive()):
            return
        self._is_due = False
        self._thread = threading.Thread(target=self._clean_up, name="store clean-up", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for a clean-up under way."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _clean_up(self) -> None:
        try:
            catalogue = Catalogue(self._settings)
            in_use = {wheel.sha256 for lock in catalogue.locks() for wheel in lock.wheels}
            done = catalogue.store.gc(0, in_use)
            LOG.info("store: removed %d unused wheels, %.1f MB", len(done.removed), done.freed / 1e6)
        except (RefstackError, OSError) as error:
            LOG.warning("store: not cleaned up: %s", error)
