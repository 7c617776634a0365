"""A monitor with its ledger and queue, and the secrets that workers would find."""

from __future__ import annotations

import pytest

from refstack_worker.server.queue import connection
from refstack_worker.server.queue.client import QueueClient
from tests.support.monitors import Site


@pytest.fixture
def site(tmp_path, clock, monkeypatch):
    # by the test's clock jobs are hours old, and the connection is seconds old by the machine's
    monkeypatch.setattr(connection, "CLOCK_MARGIN", -1e12)
    made = Site(tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def secrets(monkeypatch):
    """The secrets of the attempts, as a worker would find them in the sealed payload."""
    found = {}
    usual = QueueClient._payload

    def noting(self, one):
        found[str(one.key)] = one.secret
        return usual(self, one)

    monkeypatch.setattr(QueueClient, "_payload", noting)
    return found
