"""Each thing that is commonly wrong is found, and told how to mend."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from refstack_worker import gearman
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import (
    GearmanSettings,
    KeySettings,
    LimitSettings,
    NodeSettings,
    RunSettings,
    ServerLinkSettings,
    WorkerSettings,
)
from refstack_worker.contract.envelope import Opener
from refstack_worker.worker.doctor import checks
from refstack_worker.worker.doctor.checks import BAD, GOOD, WARNING, Finding
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
        keys=KeySettings(tmp_path / "fleet.key", tmp_path / "sign.pub"),
        run=RunSettings(runner="embedded", environments=tmp_path / "environments"),
        environments=EnvironmentSettings(
            tmp_path / "store", (tmp_path / "locks",), interpreters=(Path(sys.executable),)
        ),
        limits=LimitSettings(min_free_mb=1),
    )


def found(settings: WorkerSettings, check: str) -> Finding:
    (finding,) = [finding for finding in checks.examine(settings) if finding.check.startswith(check)]
    return finding


def http_port(settings: WorkerSettings) -> str:
    """Return a port at which somebody answers who is no Gearman server."""
    return settings.server.urls[0].removeprefix("http://")


def test_a_healthy_node_has_nothing_bad(healthy: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    # the server here is a part of this process, whose name is Python's
    monkeypatch.setattr(checks.listening_ports, "program_on", lambda _port: "geard")
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
    assert found(replace(healthy, keys=KeySettings(Path("/no"), Path("/no"))), "key server_public").result == BAD


def test_gearmand_is_not_there(healthy: WorkerSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = replace(healthy, gearman=GearmanSettings((f"127.0.0.1:{port}",)))
    assert found(settings, "gearman").result == BAD
    settings = replace(healthy, gearman=GearmanSettings(("no.such.host.invalid:4730",)))
    findings = [f for f in checks.examine(settings) if f.check.startswith("gearman")]
    assert found(replace(healthy, gearman=GearmanSettings((http_port(healthy),))), "gearman").result == BAD
    assert "does not resolve" in findings[0].found
    assert findings[1].result == WARNING and "no TLS" in findings[1].found and "tunnel" in findings[1].todo


def test_the_server_is_not_there_or_fails(healthy: WorkerSettings, server: Scripted) -> None:
    assert found(replace(healthy, server=ServerLinkSettings(("http://127.0.0.1:1",))), "server").result == BAD
    server.on("/get-testcases", Reply(502))
    assert "answers 502" in found(healthy, "server").found


def test_a_clock_that_is_wrong() -> None:
    far = formatdate(time.time() - 3600, usegmt=True)
    finding = next(iter(checks._clock("https://x", far)))
    assert finding.result == BAD and finding.found.startswith("+360") and "chrony" in finding.todo
    assert list(checks._clock("https://x", "nonsense")) == []


def test_no_room(healthy: WorkerSettings) -> None:
    findings = checks.examine(replace(healthy, limits=LimitSettings(min_free_mb=10**7)))
    assert any(f.result == BAD and f.check.startswith("disk") and "env gc" in f.todo for f in findings)


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


def test_an_environment_folder_that_a_run_cannot_enter(healthy: WorkerSettings, tmp_path: Path) -> None:
    folder = tmp_path / "environments"
    folder.mkdir(mode=0o700)
    settings = replace(healthy, run=replace(healthy.run, runner="systemd", socket=tmp_path / "no"))
    assert found(settings, "environments readable").todo == f"chmod o+x {folder}"


@pytest.mark.parametrize(
    ("program", "result", "says"),
    [
        ("gearmand", checks.GOOD, "none needed"),
        ("stunnel4", checks.GOOD, "through a tunnel"),
        ("haproxy", checks.WARNING, "is no known queue"),
        ("socat", checks.WARNING, "is no known queue"),
        ("python3", checks.WARNING, "is no known queue"),
    ],
)
def test_what_listens_in_the_queues_place_is_not_taken_for_it(program: str, result: str, says: str) -> None:
    name = Path("/proc/self/comm")
    before = name.read_text()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        name.write_text(program)
        try:
            finding = checks._gearman_way(checks.Address("127.0.0.1", listening.getsockname()[1]))
        finally:
            name.write_text(before.strip())
    assert finding.result == result and says in finding.found
