"""The worker's units are enabled and started, and a running worker reads what changed."""

from __future__ import annotations

from typing import Any

import pytest
from refstack_install.errors import StepError, VerifyError
from refstack_install.hosts import units
from refstack_install.steps import units as units_module
from refstack_install.steps.units import UnitsStep

from tests.support.node_machine import UNITS, NodeMachine


def step(machine: NodeMachine, **answers: Any) -> UnitsStep:
    return UnitsStep(machine.context(**answers))


def test_units_are_enabled_and_started_and_put_back(machine: NodeMachine) -> None:
    machine.units[UNITS[0]] = [True, False]
    before = {name: list(state) for name, state in machine.units.items()}
    made = step(machine)
    assert len(made.check()) == 5
    record = made.snapshot()
    made.apply()
    made.verify()
    assert all(state == [True, True] for state in machine.units.values())
    made.undo(record)
    assert machine.units == before


def test_units_that_are_not_to_start_stay_down(machine: NodeMachine) -> None:
    made = step(machine, **{"service.start": False})
    made.apply()
    assert made.check() == []
    assert [state for state in machine.units.values()] == [[True, False]] * 3


@pytest.mark.parametrize(
    ("action", "call"),
    [
        (units.RELOAD, "systemctl reload refstack-worker.service"),
        (units.RESTART, "systemctl kill --kill-who=main --signal=USR2 refstack-worker.service"),
    ],
)
def test_a_running_worker_reads_what_changed(machine: NodeMachine, action: str, call: str) -> None:
    made = step(machine)
    made.apply()
    units.note_pending(made.system, action)
    [change] = made.check()
    assert change.after == f"{action}ed"
    made.apply()
    assert call in machine.calls
    assert made.check() == []


@pytest.mark.parametrize("action", [units.RELOAD, units.RESTART])
def test_a_worker_that_is_about_to_start_again_need_not_be_reloaded(machine: NodeMachine, action: str) -> None:
    """The package of a Tempest version reloads the worker, which then restarts for new settings, five seconds later."""
    made = step(machine)
    made.apply()
    units.note_pending(made.system, action)
    machine.faults = {
        "systemctl (reload|kill)": machine.failed("refstack-worker.service is not active, cannot reload.")
    }
    with pytest.raises(StepError, match="failed with status 1"):
        made.apply()
    machine.faults["systemctl show -p ActiveState --value refstack-worker"] = machine.succeeded("activating\n")
    made.apply()
    assert machine.calls[-3:] == [f"systemctl start {unit}" for unit in UNITS]
    assert units.pending(made.system) == ""


def test_a_stopped_worker_is_only_started(machine: NodeMachine) -> None:
    made = step(machine)
    units.note_pending(made.system, units.RELOAD)
    made.apply()
    assert not [call for call in machine.calls if "reload" in call]
    assert units.pending(made.system) == ""


def test_a_unit_that_does_not_start(machine: NodeMachine) -> None:
    machine.faults = {"systemctl start refstack-worker": machine.failed("Job failed")}
    with pytest.raises(StepError, match="refstack-worker.service does not start: the unit's last words"):
        step(machine).apply()


def test_a_worker_that_takes_its_time_to_restart_is_waited_for(
    machine: NodeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, naps = step(machine), []
    made.apply()
    machine.faults["systemctl show -p UnitFileState"] = machine.succeeded(
        "enabled\nactive\n\nenabled\ndeactivating\n\nenabled\nactive"
    )

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            machine.faults.clear()

    monkeypatch.setattr(units_module.time, "sleep", sleep)
    made.verify()
    assert len(naps) == 3


def test_a_unit_that_failed_for_good_is_not_waited_for(machine: NodeMachine) -> None:
    made = step(machine)
    made.apply()
    machine.faults["systemctl show -p UnitFileState"] = machine.succeeded(
        "enabled\nactive\n\nenabled\nfailed\n\nenabled\nactive"
    )
    with pytest.raises(VerifyError, match="refstack-worker.service is not running"):
        made.verify()


def test_a_unit_that_does_not_stay_up(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units_module, "SETTLE_SECONDS", 0.0)
    made = step(machine)
    made.apply()
    machine.units[UNITS[1]][1] = False
    with pytest.raises(VerifyError, match="refstack-worker.service is not running"):
        made.verify()
