"""All problems of a machine are found before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from refstack_install.errors import PreflightError
from refstack_install.packages.apt import Apt
from refstack_install.steps import preflight
from refstack_install.steps.preflight import PreflightStep

from tests.support.node_machine import LiveTree, NodeMachine


def step(machine: NodeMachine, **answers: Any) -> PreflightStep:
    context = machine.context(**answers)
    return PreflightStep(context, Apt(context.system, 0))


def test_a_machine_without_problems(machine: NodeMachine) -> None:
    assert step(machine).check() == []


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"preflight.disk_mb": 10**9 - 1}, "MiB free below /var, 999999999 required; free space"),
        ({"preflight.memory_mb": 10**8}, "MiB of memory; add memory"),
        ({"server.ca_file": "/no/such.pem"}, "server.ca_file = /no/such.pem does not exist"),
        ({"gearman.servers": ["no-such-host.invalid"]}, "the name no-such-host.invalid does not resolve"),
        ({"gearman.servers": ["127.0.0.1:1"]}, "gearmand at 127.0.0.1:1 does not answer"),
        ({"server.urls": ["http://127.0.0.1:1"]}, "the server http://127.0.0.1:1 does not answer"),
        ({"keys.fleet": "env:NONE"}, "the variable is not set"),
    ],
)
def test_problems_and_what_to_do(machine: NodeMachine, answers: dict[str, Any], problem: str) -> None:
    with pytest.raises(PreflightError) as caught:
        step(machine, **answers).check()
    assert problem in str(caught.value)


def test_authorities_that_the_workers_unit_cannot_see(machine: NodeMachine) -> None:
    refused = step(machine, **{"server.ca_file": "/root/ca.pem", "preflight.services": False})
    path = refused.system.path("/root/ca.pem")
    assert path.is_relative_to(machine.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(PreflightError, match="sees nothing below /home and /root; move it"):
        refused.check()


def test_services_are_not_asked_for_golden_images(machine: NodeMachine) -> None:
    assert step(machine, **{"gearman.servers": ["127.0.0.1:1"], "preflight.services": False}).check() == []


def test_a_clock_that_differs(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.http, "clock_offset", lambda url, ca_file: -3600.0)
    with pytest.raises(PreflightError, match="the clock differs from the server's by -3600 s"):
        step(machine).check()
    assert step(machine, **{"preflight.clock": False}).check() == []


def test_an_installed_node_needs_little_space(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "FINISHED_NODE_MB", 0)
    with pytest.raises(PreflightError):
        step(machine, **{"preflight.disk_mb": 10**9 - 1}).check()
    machine.packages["refstack-worker"] = "1"
    assert step(machine, **{"preflight.disk_mb": 10**9 - 1}).check() == []


def test_it_must_run_as_root(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveTree, "is_root", lambda self: False)
    with pytest.raises(PreflightError, match="not running as root"):
        step(machine).check()
