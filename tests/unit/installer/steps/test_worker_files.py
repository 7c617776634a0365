"""The worker's settings and keys."""

from __future__ import annotations

from refstack_install import toml
from refstack_install.answers import answers as answering
from refstack_install.hosts import units
from refstack_install.step import Context
from refstack_install.steps.worker_files import FILE, ConfigurationStep, KeysStep

from tests.support.node_machine import FLEET, SERVERS, NodeMachine


def test_settings_that_were_given_are_written_and_only_those(machine: NodeMachine) -> None:
    context = machine.context(**{"node.slots": 3, "node.tags": ["eu"]})
    answers = answering.combine([context.answers.values], {"node": {"slots": 4}, "limits": {"min_free_mb": 5}})
    ConfigurationStep(Context(context.system, answers)).apply()
    assert toml.loads((machine.root / FILE.lstrip("/")).read_text()) == {
        "gearman": {"servers": [machine.gearmand]},
        "server": {"urls": [machine.server]},
        "node": {"name": "node-1", "slots": 4, "tags": ["eu"]},
        "limits": {"min_free_mb": 5},
    }
    assert units.pending(context.system) == units.RELOAD


def test_keys_have_their_modes_and_are_not_shown(machine: NodeMachine) -> None:
    before = machine.files()
    step = KeysStep(machine.context())
    shown = [change.after for change in step.check()]
    assert shown[0].startswith("sha256:") and shown[1] == SERVERS + "\n"
    record = step.snapshot()
    step.apply()
    folder = machine.root / "etc" / "refstack-worker"
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        "fleet.key": "0o600", "server.pub": "0o644",
    }  # fmt: skip
    assert (folder / "fleet.key").read_text() == FLEET + "\n"
    assert units.pending(step.system) == units.RESTART
    step.undo(record)
    units.clear_pending(step.system)
    kept = {name: data for name, data in machine.files().items() if "refstack-install" not in name}
    assert kept == before


def test_a_mode_that_somebody_changed_is_put_right(machine: NodeMachine) -> None:
    step = KeysStep(machine.context())
    step.apply()
    (machine.root / "etc" / "refstack-worker" / "fleet.key").chmod(0o644)
    assert [(change.before, change.after) for change in step.check()] == [("mode 0644", "mode 0600")]
