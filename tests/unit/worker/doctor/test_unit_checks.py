from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import ServerLinkSettings, WorkerSettings
from refstack_worker.worker.doctor import unit_checks
from refstack_worker.worker.doctor.finding import BAD, GOOD


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that prints the file which the test writes."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "answer"


@pytest.fixture
def elsewhere() -> WorkerSettings:
    return WorkerSettings(EnvironmentSettings(Path("/srv/store")))


def test_the_usual_folders_need_no_check(systemctl: Path) -> None:
    usual = WorkerSettings(EnvironmentSettings(Path("/var/cache/refstack-worker/store")))
    assert list(unit_checks.check_units(usual)) == []


def test_a_store_on_another_disk_needs_a_drop_in(systemctl: Path, elsewhere: WorkerSettings) -> None:
    systemctl.write_text("LoadState=loaded\nReadWritePaths=\n")
    findings = list(unit_checks.check_units(elsewhere))
    assert [finding.result for finding in findings] == [BAD] * 3
    assert findings[0].found == "refstack-worker.service cannot write to /srv/store"
    assert "systemctl edit refstack-worker.service" in findings[0].todo
    assert "ReadWritePaths=/srv/store" in findings[0].todo


def test_a_drop_in_that_is_there_is_enough(systemctl: Path, elsewhere: WorkerSettings) -> None:
    systemctl.write_text("ReadWritePaths=-/srv /opt/x\nLoadState=loaded\n")
    assert {finding.result for finding in unit_checks.check_units(elsewhere)} == {GOOD}


def test_without_the_unit_there_is_nothing_to_say(systemctl: Path, elsewhere: WorkerSettings) -> None:
    systemctl.write_text("LoadState=not-found\nReadWritePaths=\n")
    assert list(unit_checks.check_units(elsewhere)) == []


def test_without_systemd_there_is_nothing_to_say(
    elsewhere: WorkerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(unit_checks.check_units(elsewhere)) == []


def test_a_spool_elsewhere_counts_too(systemctl: Path) -> None:
    systemctl.write_text("LoadState=loaded\nReadWritePaths=\n")
    usual = WorkerSettings(EnvironmentSettings(Path("/var/cache/refstack-worker/store")))
    moved = replace(usual, spool=replace(usual.spool, folder=Path("/data/spool")))
    assert "/data/spool" in next(iter(unit_checks.check_units(moved))).found


def test_the_units_are_not_those_of_a_second_worker(systemctl: Path, elsewhere: WorkerSettings) -> None:
    systemctl.write_text("LoadState=loaded\nReadWritePaths=\n")
    assert list(unit_checks.check_units(replace(elsewhere, file=Path("/etc/refstack-b/worker.toml")))) == []


def test_authorities_that_the_units_cannot_see_are_named(tmp_path: Path) -> None:
    """The worker of the package saw no file below /root: doctor was content, and each report failed."""
    there = tmp_path / "ca.pem"
    there.touch()
    for place, found in (("/root/ca.pem", "cannot see"), (str(tmp_path / "gone.pem"), "no such file")):
        settings = WorkerSettings(EnvironmentSettings(tmp_path), server=ServerLinkSettings(ca_file=place))
        (finding,) = unit_checks.check_authorities(settings)
        assert finding.check == "server.ca_file" and finding.result == BAD and found in finding.found
    fine = WorkerSettings(EnvironmentSettings(tmp_path), server=ServerLinkSettings(ca_file=str(there)))
    assert list(unit_checks.check_authorities(fine)) == []
