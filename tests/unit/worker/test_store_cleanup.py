from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.worker.store_cleanup import StoreCleanup
from tests.support.wheel_files import make_version


@pytest.fixture
def settings(tmp_path: Path) -> EnvironmentSettings:
    for version in ("46.0.0", "47.0.0"):
        make_version(tmp_path / "locks", version)
    settings = EnvironmentSettings(tmp_path / "store", (tmp_path / "locks",), interpreters=(Path(sys.executable),))
    catalogue = Catalogue(settings)
    catalogue.refresh()
    for version in ("46.0.0", "47.0.0"):
        with Environment(catalogue.find(Want(version)), settings, tmp_path / f"env-{version}"):
            pass
    return settings


def entries(settings: EnvironmentSettings) -> int:
    return len(Catalogue(settings).store.names())


def test_what_only_a_removed_version_used_goes(settings: EnvironmentSettings, tmp_path: Path) -> None:
    before = entries(settings)
    shutil.rmtree(tmp_path / "locks" / "46.0.0")
    cleanup = StoreCleanup(settings)
    cleanup.versions_changed({"46.0.0", "47.0.0"}, {"47.0.0"})
    cleanup.start_if_due(busy=False)
    cleanup.wait(60)
    assert entries(settings) == before - 1, "Tempest itself; the other two wheels belong to both versions"


def test_it_waits_until_no_run_is_under_way(settings: EnvironmentSettings, tmp_path: Path) -> None:
    before = entries(settings)
    shutil.rmtree(tmp_path / "locks" / "46.0.0")
    cleanup = StoreCleanup(settings)
    cleanup.versions_changed({"46.0.0"}, set())
    cleanup.start_if_due(busy=True)
    cleanup.wait(60)
    assert entries(settings) == before
    cleanup.start_if_due(busy=False)
    cleanup.wait(60)
    assert entries(settings) < before


def test_a_new_version_is_no_reason(settings: EnvironmentSettings, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "locks")
    before = entries(settings)
    cleanup = StoreCleanup(settings)
    cleanup.versions_changed({"46.0.0"}, {"46.0.0", "47.0.0"})
    cleanup.start_if_due(busy=False)
    cleanup.wait(60)
    assert entries(settings) == before


def test_a_store_that_cannot_be_written_is_logged(
    settings: EnvironmentSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(settings.store)
    settings.store.write_text("a file")
    cleanup = StoreCleanup(settings)
    cleanup.versions_changed({"46.0.0"}, set())
    cleanup.start_if_due(busy=False)
    cleanup.wait(60)
    assert "store: not cleaned up" in caplog.text
