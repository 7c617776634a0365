from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from refstack_worker.config.worker import LimitSettings, WorkerSettings
from refstack_worker.worker.doctor import checks
from refstack_worker.worker.doctor.finding import BAD
from tests.unit.worker.doctor.conftest import found


def test_no_room(healthy: WorkerSettings) -> None:
    findings = checks.examine(replace(healthy, limits=LimitSettings(min_free_mb=10**7)))
    assert any(f.result == BAD and f.check.startswith("disk") and "env gc" in f.todo for f in findings)


def test_an_environment_folder_that_a_run_cannot_enter(healthy: WorkerSettings, tmp_path: Path) -> None:
    folder = tmp_path / "environments"
    folder.mkdir(mode=0o700)
    settings = replace(healthy, run=replace(healthy.run, runner="systemd", socket=tmp_path / "no"))
    assert found(settings, "environments readable").todo == f"chmod o+x {folder}"
