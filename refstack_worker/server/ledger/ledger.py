"""The ledger: the only queries and the only state changes, for the HTTP side, the queue client and the monitor.

Each method is one transaction. A run's row is locked before its state is looked at, every change of state passes
``contract/states.py``, and what a worker may do is decided by the secret of its attempt and its claim. Several
processes may use one ledger at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.db import migrate
from refstack_worker.server.ledger.accounts import AccountLedger
from refstack_worker.server.ledger.clouds import CloudLedger
from refstack_worker.server.ledger.guidelines import GuidelineLedger
from refstack_worker.server.ledger.local import LocalLedger
from refstack_worker.server.ledger.nodes import NodeLedger
from refstack_worker.server.ledger.results import ResultLedger
from refstack_worker.server.ledger.submissions import SubmissionLedger


class Store(
    LocalLedger,
    SubmissionLedger,
    ResultLedger,
    NodeLedger,
    AccountLedger,
    CloudLedger,
    GuidelineLedger,
):
    """The whole ledger."""

    @classmethod
    def open(cls, settings: ServerSettings, clock: Callable[[], float] = time.time) -> Store:
        """Return the ledger of these settings. Nothing is connected before the first question.

        :param clock: seconds since 1970.
        """
        return cls(settings, clock)

    def upgrade(self) -> None:
        """Bring the database to the revision of this software (``refstack-queue db upgrade``)."""
        migrate.upgrade(self.database)
