"""The environment store is filled before the node takes runs."""

from __future__ import annotations

import json

import pytest
from refstack_install.errors import StepError, VerifyError
from refstack_install.steps.warm import WarmStep

from tests.support.node_machine import TEMPEST, NodeMachine


@pytest.fixture
def node(machine: NodeMachine) -> NodeMachine:
    machine.write("usr/bin/refstack-worker", "program")
    machine.packages[f"refstack-tempest-{TEMPEST}"] = "1"
    return machine


def test_a_cold_store_is_filled(node: NodeMachine) -> None:
    step = WarmStep(node.context())
    assert [(change.what, change.before) for change in step.check()] == [(f"environment {TEMPEST}", "cold")]
    step.apply()
    step.verify()
    assert step.check() == []


def test_a_running_fill_is_waited_for_and_not_asked(node: NodeMachine) -> None:
    node.warming = True
    assert WarmStep(node.context()).check()
    assert not [call for call in node.calls if "versions" in call]


def test_it_can_be_turned_off(node: NodeMachine) -> None:
    step = WarmStep(node.context(**{"tempest.warm": False}))
    assert step.check() == []
    step.verify()


@pytest.mark.parametrize("row", [{"Tests": 0}, {"Problem": "no tests"}, {"Warm": False}])
def test_an_environment_must_list_tests(node: NodeMachine, row: dict[str, object]) -> None:
    rows = [{"Version": TEMPEST, "Warm": True, "Tests": 1575, "Problem": "", **row}]
    node.faults = {"versions -f json": node.succeeded(json.dumps(rows))}
    with pytest.raises(VerifyError, match=f"Tempest {TEMPEST} is not ready"):
        WarmStep(node.context()).verify()


def test_a_store_that_cannot_be_filled(node: NodeMachine) -> None:
    node.faults = {"systemctl start": node.failed("Job failed")}
    with pytest.raises(StepError, match="cannot fill the environment store: the unit's last words"):
        WarmStep(node.context()).apply()
