from __future__ import annotations

import sys
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from refstack_worker.config.worker import (
    ServerLinkSettings,
    WorkerKeySettings,
    WorkerSettings,
)
from refstack_worker.worker.doctor import checks, queue_checks
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING
from tests.support.http_server import Reply, Scripted
from tests.unit.worker.doctor.conftest import found


def test_a_healthy_node_has_nothing_bad(healthy: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    # the server here is a part of this process, whose name is Python's
    monkeypatch.setattr(queue_checks.listening_ports, "program_on", lambda _port: "geard")
    findings = checks.examine(healthy)
    assert [finding for finding in findings if finding.result == BAD] == []
    assert {finding.check for finding in findings if finding.result == WARNING} <= {"runner"}
    assert found(healthy, "Tempest 47.0.0").result == GOOD
    assert found(healthy, "clock").result == GOOD


def test_no_server_is_configured(healthy: WorkerSettings) -> None:
    findings = checks.examine(replace(healthy, server=ServerLinkSettings()))
    assert any(f.result == BAD and "server.urls" in f.found for f in findings)


def test_a_key_that_others_can_read(healthy: WorkerSettings) -> None:
    healthy.keys.fleet_private.chmod(0o644)
    finding = found(healthy, "key fleet_private")
    assert finding.result == BAD and "chmod 600" in finding.found
    assert found(replace(healthy, keys=WorkerKeySettings(Path("/no"), Path("/no"))), "key server_public").result == BAD


def test_the_server_is_not_there_or_fails(healthy: WorkerSettings, server: Scripted) -> None:
    assert found(replace(healthy, server=ServerLinkSettings(("http://127.0.0.1:1",))), "server").result == BAD
    server.on("/get-testcases", Reply(502))
    assert "response 502" in found(healthy, "server").found


def test_a_clock_that_is_wrong() -> None:
    far = formatdate(time.time() - 3600, usegmt=True)
    finding = next(iter(checks._clock("https://x", far)))
    assert finding.result == BAD and finding.found.startswith("+360") and "chrony" in finding.todo
    assert list(checks._clock("https://x", "nonsense")) == []


def test_no_version(healthy: WorkerSettings, tmp_path: Path) -> None:
    settings = replace(healthy, environments=replace(healthy.environments, lock_folders=(tmp_path / "none",)))
    assert "refstack-tempest" in found(settings, "versions").todo


def test_an_interpreter_that_is_not_there(healthy: WorkerSettings) -> None:
    environments = replace(healthy.environments, interpreters=(Path("/no/python3.8"), Path(sys.executable)))
    assert found(replace(healthy, environments=environments), "interpreter /no").result == BAD


def test_no_execute_test(healthy: WorkerSettings) -> None:
    settings = replace(healthy, run=replace(healthy.run, execute_test="/no/execute_test"))
    assert found(settings, "execute_test").result == BAD


def test_no_runner_socket(healthy: WorkerSettings, tmp_path: Path) -> None:
    settings = replace(healthy, run=replace(healthy.run, runner="systemd", socket=tmp_path / "no"))
    assert "systemctl enable --now refstack-run.socket" in found(settings, "runner").todo
