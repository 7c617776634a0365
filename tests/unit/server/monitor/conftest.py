"""A monitor with its ledger and queue, and the secrets that workers would find."""

from __future__ import annotations

import pytest

from refstack_worker.server.queue.client import QueueClient
from tests.support.monitors import Site


@pytest.fixture
def site(tmp_path, clock):
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
