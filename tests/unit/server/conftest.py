from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, make_settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return make_settings(tmp_path)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database at the newest revision, to be copied: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("migrated")
    ledger = Ledger(make_settings(folder))
    ledger.upgrade()
    ledger.close()
    return folder / "ledger.sqlite"


@pytest.fixture
def ledger(settings: ServerSettings, clock: Clock, migrated: Path) -> Iterator[Ledger]:
    shutil.copy(migrated, settings.database.url.partition(":///")[2])
    ledger = Ledger(settings, clock)
    yield ledger
    ledger.close()
