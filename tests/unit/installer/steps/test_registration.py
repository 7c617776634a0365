"""A real Gearman server lists the node."""

from __future__ import annotations

import pytest
from refstack_install.errors import StepError
from refstack_install.steps import registration
from refstack_install.steps.registration import RegistrationStep

from tests.support.node_machine import TEMPEST, NodeMachine


def test_a_registered_worker_needs_nothing(machine: NodeMachine) -> None:
    step = RegistrationStep(machine.context())
    [change] = step.check()
    assert change.what == f"refstack:tempest:{TEMPEST} at {machine.gearmand}"
    machine.follow(True)
    step.apply()
    assert step.check() == []


def test_workers_of_other_nodes_do_not_count(machine: NodeMachine) -> None:
    machine.follow(True)
    assert RegistrationStep(machine.context(**{"node.name": "node-12"})).check()


def test_the_wait_ends(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "WAIT_SECONDS", 0.0)
    with pytest.raises(StepError, match=r"not registered after 0 s: the unit's last words; see .*doctor"):
        RegistrationStep(machine.context()).apply()


@pytest.mark.parametrize("setting", ["service.start", "preflight.services"])
def test_golden_images_do_not_register(machine: NodeMachine, setting: str) -> None:
    assert RegistrationStep(machine.context(**{setting: False})).check() == []


def test_gearmand_that_has_gone(machine: NodeMachine) -> None:
    with pytest.raises(StepError, match="gearmand at 127.0.0.1:1 does not answer.*start it"):
        RegistrationStep(machine.context(**{"gearman.servers": ["127.0.0.1:1"]})).check()
