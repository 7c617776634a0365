from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.ledger.ledger import Store
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
    store = Store.open(make_settings(folder))
    store.upgrade()
    store.close()
    return folder / "ledger.sqlite"


@pytest.fixture
def store(settings: ServerSettings, clock: Clock, migrated: Path) -> Iterator[Store]:
    shutil.copy(migrated, settings.database.url.partition(":///")[2])
    store = Store.open(settings, clock)
    yield store
    store.close()
