"""From a bare machine to a node and back, with the real code of every step."""

from __future__ import annotations

import io
from typing import Any

import pytest
from refstack_install import toml
from refstack_install.engine import Engine
from refstack_install.errors import BusyError, StepError, VerifyError
from refstack_install.journal import Journal
from refstack_install.reporter import Reporter
from refstack_install.steps import sequence
from refstack_install.system import Completed

from tests.support.node_machine import FLEET, NODE, TEMPEST, NodeMachine

CONF = "etc/refstack-worker/conf.d/50-refstack-install.toml"


def engine(machine: NodeMachine, **answers: Any) -> Engine:
    context = machine.context(**answers)
    return Engine(sequence.steps(context), Journal(context.system), Reporter(io.StringIO()))


def states(done: Engine) -> dict[str, str]:
    return {step["name"]: step["state"] for step in done.reporter.steps}


def test_plan_reports_everything_and_changes_nothing(machine: NodeMachine) -> None:
    before = machine.files()
    planned = engine(machine)
    assert planned.plan()
    assert machine.files() == before
    assert not [call for call in machine.calls if " install " in call or "systemctl enable" in call]
    assert {name for name, state in states(planned).items() if state == "pending"} == {
        "repository", "packages", "configuration", "keys", "tempest", "warm", "unit", "registered",
    }  # fmt: skip


def test_apply_makes_a_node_and_then_finds_nothing_to_do(machine: NodeMachine) -> None:
    engine(machine).apply()
    assert "refstack-tempest-47.0.0" in machine.packages
    assert machine.units["refstack-worker.service"] == [True, True]
    assert toml.loads(machine.files()[CONF].decode()) == {
        "gearman": {"servers": [machine.gearmand]}, "server": {"urls": [machine.server]}, "node": {"name": NODE},
    }  # fmt: skip
    again = engine(machine)
    again.apply()
    assert set(states(again).values()) == {"unchanged"}
    assert not engine(machine).plan()
    engine(machine).verify()


def test_verify_remarks_that_the_node_is_paused(machine: NodeMachine) -> None:
    engine(machine).apply()
    checked = engine(machine)
    checked.verify()
    assert checked.reporter.notes == []
    machine.paused = True
    paused = engine(machine)
    paused.verify()
    assert set(states(paused).values()) == {"verified"}
    assert paused.reporter.notes == ["the node is paused and takes no runs; resume it with 'refstack-worker resume'"]


def test_apply_waits_for_a_running_fill_of_the_store_and_asks_for_its_result_once(machine: NodeMachine) -> None:
    machine.warming = True
    done = engine(machine)
    done.apply()
    assert states(done)["warm"] == "changed"
    began = machine.calls.index("systemctl start refstack-env-warm.service")
    asked = [at for at, call in enumerate(machine.calls) if call.endswith("versions -f json")]
    assert len(asked) == 1 and asked[0] > began


def test_remove_leaves_the_machine_as_it_was(machine: NodeMachine) -> None:
    before, packages = machine.files(), dict(machine.packages)
    engine(machine).apply()
    assert engine(machine).remove()
    assert machine.files() == before
    assert machine.packages == packages
    assert not engine(machine).remove(), "the second removal finds nothing"


def test_remove_keeps_packages_that_others_installed_meanwhile(machine: NodeMachine) -> None:
    machine.install("adduser")
    engine(machine).apply()
    machine.packages["vim"] = "9"
    engine(machine, **{"tempest.versions": [TEMPEST, "43.0.0"], "service.start": False}).apply()
    engine(machine).remove()
    assert set(machine.packages) == {"base-files", "libc6", "adduser", "vim"}


def test_remove_after_an_upgrade_does_not_bring_the_former_version_back_first(machine: NodeMachine) -> None:
    before, packages = machine.files(), dict(machine.packages)
    engine(machine).apply()
    machine.newer = {
        name: ["1.3-1"] for name in ("refstack-worker", "python3-refstack-worker", "refstack-execute-test")
    }
    engine(machine, **{"packages.version": "1.3-1"}).apply()
    assert machine.packages["refstack-worker"] == "1.3-1"
    machine.calls.clear()
    engine(machine).remove()
    assert not [call for call in machine.calls if " install " in call]
    assert (machine.files(), machine.packages) == (before, packages)


def test_remove_brings_back_versions_that_were_there_before_the_installer(machine: NodeMachine) -> None:
    machine.install("python3-refstack-worker=1.0-1")
    packages = dict(machine.packages)
    engine(machine, **{"packages.version": "1.2.3"}).apply()
    assert machine.packages["python3-refstack-worker"] == "1.2.3-1"
    engine(machine).remove()
    assert machine.packages == packages


def test_remove_refuses_while_results_are_undelivered(machine: NodeMachine) -> None:
    engine(machine).apply()
    machine.spool.append({"Run": "17"})
    before = machine.files()
    with pytest.raises(StepError, match="17.*discard-results"):
        engine(machine).remove()
    assert machine.files() == before


def test_new_settings_make_the_running_worker_reload(machine: NodeMachine) -> None:
    engine(machine).apply()
    machine.calls.clear()
    changed = engine(machine, **{"node.tags": ["eu"]})
    changed.apply()
    assert states(changed)["configuration"] == "changed"
    assert states(changed)["unit"] == "changed"
    assert "systemctl reload refstack-worker.service" in machine.calls
    assert not engine(machine, **{"node.tags": ["eu"]}).plan()


def test_settings_that_the_worker_refuses_are_put_back(machine: NodeMachine) -> None:
    engine(machine).apply()
    before = machine.files()
    machine.faults = {"refstack-worker config check": machine.failed("node.slots must be from 1 to 64", 3)}
    with pytest.raises(StepError, match="settings are not valid: node.slots must be from 1 to 64; correct the answers"):
        engine(machine, **{"node.slots": 99}).apply()
    assert machine.files() == before
    assert not engine(machine).plan()
    assert "systemctl reload refstack-worker.service" not in machine.calls


def test_a_worker_that_cannot_check_its_settings_yet_reloads_them(machine: NodeMachine) -> None:
    engine(machine).apply()
    machine.faults = {"refstack-worker config check": machine.failed("unknown command", 2)}
    engine(machine, **{"node.slots": 4}).apply()
    assert "systemctl reload refstack-worker.service" in machine.calls
    assert not engine(machine, **{"node.slots": 4}).plan()


def test_a_new_key_lets_runs_end_before_the_worker_restarts(machine: NodeMachine) -> None:
    engine(machine).apply()
    fleet = machine.root.parent / "inputs" / "fleet.key"
    fleet.write_text("refstack-seal-private Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0M=\n" + FLEET + "\n")
    machine.calls.clear()
    engine(machine).apply()
    assert "systemctl kill --kill-who=main --signal=USR2 refstack-worker.service" in machine.calls


def test_related_packages_change_to_the_requested_version_together(machine: NodeMachine) -> None:
    engine(machine).apply()
    machine.packages.update({"refstack-worker": "1.2.2-1", "python3-refstack-worker": "1.2.2-1"})
    assert not engine(machine).plan(), "without a requested version the installed one stays"
    wanted = engine(machine, **{"packages.version": "1.2.3"})
    wanted.apply()
    [call] = [call for call in machine.calls if "refstack-worker=1.2.3" in call]
    assert "python3-refstack-worker=1.2.3" in call
    assert not engine(machine, **{"packages.version": "1.2.3"}).plan()


def test_unlisted_tempest_versions_are_removed_on_request(machine: NodeMachine) -> None:
    engine(machine).apply()
    machine.install("refstack-tempest-43.0.0")
    assert not engine(machine).plan()
    engine(machine, **{"tempest.only": True}).apply()
    assert "refstack-tempest-43.0.0" not in machine.packages


def test_the_key_is_never_shown(machine: NodeMachine) -> None:
    planned = engine(machine)
    planned.plan()
    planned.reporter.finish("plan", 2, 0.1)
    shown = planned.reporter.out.getvalue()
    assert "sha256:" in shown
    assert FLEET.split()[1] not in shown


def test_verify_fails_as_verify_and_changes_nothing(machine: NodeMachine) -> None:
    engine(machine).apply()
    machine.faults = {"refstack-worker selftest": Completed(("selftest",), 11, "", "the run failed")}
    with pytest.raises(VerifyError, match="self-test run of Tempest 47.0.0 did not pass: the run failed") as caught:
        engine(machine).verify()
    assert caught.value.exit_code == 7


def test_two_installers_do_not_meet(machine: NodeMachine) -> None:
    first = engine(machine)
    with first.journal.locked(), pytest.raises(BusyError):
        engine(machine).apply()
