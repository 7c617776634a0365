from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, make_settings
from tests.support.postgresql import postgresql, postgresql_url

__all__ = ["postgresql", "postgresql_url"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, postgresql_url: str) -> ServerSettings:
    return make_settings(tmp_path, DATABASE_URL=postgresql_url)


@pytest.fixture
def ledger(settings: ServerSettings, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(settings, clock)
    ledger.upgrade()
    yield ledger
    ledger.close()
