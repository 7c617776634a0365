from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker import gearman
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import (
    GearmanSettings,
    LimitSettings,
    NodeSettings,
    RunSettings,
    ServerLinkSettings,
    WorkerKeySettings,
    WorkerSettings,
)
from refstack_worker.contract.envelope import Opener
from refstack_worker.worker.doctor import checks
from refstack_worker.worker.doctor.finding import Finding
from tests.support.http_server import Reply, Scripted
from tests.support.wheel_files import make_version


@pytest.fixture
def queue() -> Iterator[gearman.Server]:
    server = gearman.Server(0)
    yield server
    server.shutdown()


@pytest.fixture
def healthy(tmp_path: Path, queue: gearman.Server, server: Scripted, opener: Opener) -> WorkerSettings:
    make_version(tmp_path / "locks", "47.0.0")
    server.on("/get-testcases", Reply(401))
    return WorkerSettings(
        node=NodeSettings("node-1", state_folder=tmp_path / "state"),
        gearman=GearmanSettings((f"127.0.0.1:{queue.port}",)),
        server=ServerLinkSettings((server.url,)),
        keys=WorkerKeySettings(tmp_path / "fleet.key", tmp_path / "sign.pub"),
        run=RunSettings(runner="embedded", environments=tmp_path / "environments"),
        environments=EnvironmentSettings(
            tmp_path / "store", (tmp_path / "locks",), interpreters=(Path(sys.executable),)
        ),
        limits=LimitSettings(min_free_mb=1),
    )


def found(settings: WorkerSettings, check: str) -> Finding:
    (finding,) = [finding for finding in checks.examine(settings) if finding.check.startswith(check)]
    return finding
