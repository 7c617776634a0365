"""The self-test run of each Tempest version."""

from __future__ import annotations

import pytest
from refstack_install.errors import VerifyError
from refstack_install.steps.selftest import SelfTestStep

from tests.support.node_machine import NodeMachine


def test_it_runs_for_each_version_as_the_worker(machine: NodeMachine) -> None:
    step = SelfTestStep(machine.context(**{"tempest.versions": ["47.0.0", "43.0.0"]}))
    step.verify()
    assert [call.split(" -- ")[1].split()[2] for call in machine.calls] == ["47.0.0", "43.0.0"]
    assert all(call.startswith("runuser -u refstack-worker --") for call in machine.calls)
    assert step.check() == []


@pytest.mark.parametrize("out", ["", "no JSON", '{"state": "failed"}', "{}", "[]"])
def test_anything_but_a_finished_run_is_a_failure(machine: NodeMachine, out: str) -> None:
    machine.faults = {"selftest": machine.succeeded(out)}
    with pytest.raises(VerifyError, match="the self-test run of Tempest 47.0.0 did not pass"):
        SelfTestStep(machine.context()).verify()
