from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.config.worker import NodeSettings, RunSettings, WorkerSettings
from refstack_worker.errors import ConfigError
from refstack_worker.worker.admission import folders


@pytest.fixture
def local(settings: WorkerSettings, tmp_path: Path) -> WorkerSettings:
    return replace(
        settings,
        node=NodeSettings("node-1", state_folder=tmp_path / "state"),
        run=RunSettings(environments=tmp_path / "environments"),
    )


def test_writable_folders_are_fine(local: WorkerSettings) -> None:
    folders.check_writable(local)


def test_a_read_only_store_is_refused_with_the_lines_to_add(
    local: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def statvfs(path: Path) -> Any:
        return SimpleNamespace(f_flag=os.ST_RDONLY) if Path(path).name == "store" else real(path)

    local.environments.store.mkdir()
    monkeypatch.setattr(os, "statvfs", statvfs)
    store = local.environments.store
    with pytest.raises(ConfigError) as caught:
        folders.check_writable(local)
    assert str(caught.value) == (
        f"{store} is read-only for the worker; run 'systemctl edit refstack-worker.service', add the lines '[Service]'"
        f" and 'ReadWritePaths={store}', then restart it"
    )


def test_each_folder_counts_once(settings: WorkerSettings) -> None:
    written = folders.written_folders(settings)
    assert len(written) == len(set(written)) == 4
