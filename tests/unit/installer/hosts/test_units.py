"""The worker's units and what a running worker has not read yet."""

from __future__ import annotations

import pytest
from refstack_install.errors import StepError
from refstack_install.hosts import units
from refstack_install.hosts.units import UnitState

from tests.support.node_machine import UNITS, NodeMachine


def test_states(machine: NodeMachine) -> None:
    machine.units[UNITS[0]] = [True, True]
    system = machine.context().system
    assert units.states(system) == [
        UnitState(UNITS[0], True, True), UnitState(UNITS[1], False, False), UnitState(UNITS[2], False, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("actions", "pending"),
    [(["reload"], "reload"), (["reload", "restart"], "restart"), (["restart", "reload"], "restart")],
)
def test_a_restart_includes_a_reload(machine: NodeMachine, actions: list[str], pending: str) -> None:
    system = machine.context().system
    assert units.pending(system) == ""
    for action in actions:
        units.note_pending(system, action)
    assert units.pending(system) == pending
    units.clear_pending(system)
    assert units.pending(system) == ""


def test_undelivered_results_stop_a_removal(machine: NodeMachine) -> None:
    system = machine.context().system
    units.refuse_if_undelivered(system)
    machine.write("usr/bin/refstack-worker", "program")
    units.refuse_if_undelivered(system)
    machine.spool.append({"Run": "17"})
    with pytest.raises(StepError, match=r"1 result\(s\) have not been delivered yet \(17\)"):
        units.refuse_if_undelivered(system)


def test_the_last_lines_of_a_unit(machine: NodeMachine) -> None:
    system = machine.context().system
    assert units.log_tail(system, "x.service") == "the unit's last words"
    machine.faults["journalctl"] = machine.succeeded("")
    assert units.log_tail(system, "x.service") == "see 'systemctl status x.service'"
