from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config.worker import GearmanSettings, WorkerSettings
from refstack_worker.gearman import Address
from refstack_worker.worker.doctor import checks, queue_checks
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING
from tests.unit.worker.doctor.conftest import found


def http_port(settings: WorkerSettings) -> str:
    """Return the address of a server that does not speak Gearman."""
    return settings.server.urls[0].removeprefix("http://")


def test_gearmand_is_not_there(healthy: WorkerSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = replace(healthy, gearman=GearmanSettings((f"127.0.0.1:{port}",)))
    assert found(settings, "gearman").result == BAD
    settings = replace(healthy, gearman=GearmanSettings(("no.such.host.invalid:4730",)))
    findings = [f for f in checks.examine(settings) if f.check.startswith("gearman")]
    assert found(replace(healthy, gearman=GearmanSettings((http_port(healthy),))), "gearman").result == BAD
    assert "does not resolve" in findings[0].found
    assert findings[1].result == WARNING and "not encrypted" in findings[1].found and "tunnel" in findings[1].todo


@pytest.mark.parametrize(
    ("program", "result", "says"),
    [
        ("gearmand", GOOD, "not needed"),
        ("stunnel4", GOOD, "through a tunnel"),
        ("haproxy", WARNING, "not a known Gearman server"),
        ("socat", WARNING, "not a known Gearman server"),
        ("python3", WARNING, "not a known Gearman server"),
    ],
)
def test_what_listens_in_the_queues_place_is_not_taken_for_it(program: str, result: str, says: str) -> None:
    name = Path("/proc/self/comm")
    before = name.read_text()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        name.write_text(program)
        try:
            finding = queue_checks.encryption(Address("127.0.0.1", listening.getsockname()[1]))
        finally:
            name.write_text(before.strip())
    assert finding.result == result and says in finding.found


@pytest.mark.parametrize(
    ("queue_address", "runner", "warned"),
    [
        ("127.0.0.1:1", "auto", True),
        ("localhost:1", "systemd", True),
        ("127.47.30.1:1", "auto", False),
        ("127.0.0.1:1", "embedded", False),
    ],
)
def test_a_queue_that_runs_can_reach_is_a_warning(
    healthy: WorkerSettings, queue_address: str, runner: str, warned: bool
) -> None:
    settings = replace(healthy, gearman=GearmanSettings((queue_address,)), run=replace(healthy.run, runner=runner))
    findings = [finding for finding in queue_checks.check_gearman(settings) if "runs on this node" in finding.found]
    assert [finding.result for finding in findings] == [WARNING] * warned
