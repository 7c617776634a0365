"""The worker's packages and those of the Tempest versions."""

from __future__ import annotations

from typing import Any

import pytest
from refstack_install.errors import StepError
from refstack_install.packages.apt import Apt
from refstack_install.steps.packages import TempestPackagesStep, WorkerPackagesStep
from refstack_install.steps.repository import RepositoryStep

from tests.support.node_machine import NodeMachine

FAMILY = {"refstack-worker": "9.9-1", "python3-refstack-worker": "9.9-1", "refstack-execute-test": "9.9-1"}


def worker(machine: NodeMachine, **answers: Any) -> WorkerPackagesStep:
    context = machine.context(**answers)
    return WorkerPackagesStep(context, Apt(context.system, 0))


def tempest(machine: NodeMachine, *versions: str) -> TempestPackagesStep:
    context = machine.context(**{"tempest.versions": list(versions)})
    return TempestPackagesStep(context, Apt(context.system, 0))


def add_repository(machine: NodeMachine) -> None:
    context = machine.context()
    RepositoryStep(context, Apt(context.system, 0)).apply()


def changes(step: WorkerPackagesStep | TempestPackagesStep) -> dict[str, str]:
    return {change.what: change.after for change in step.check()}


def test_a_pinned_version_pins_the_whole_family_on_a_bare_machine(machine: NodeMachine) -> None:
    add_repository(machine)
    step = worker(machine, **{"packages.version": "1.2.3"})
    pinned = {name: "1.2.3" for name in FAMILY}
    assert changes(step) == {"refstack-archive-keyring": "installed", **pinned}
    step.work()
    [call] = [call for call in machine.calls if " install " in call]
    assert call.split(" install ")[1].split()[1:] == [f"{name}=1.2.3-1" for name in FAMILY]


def test_packages_that_the_version_does_not_have_are_not_pinned(machine: NodeMachine) -> None:
    add_repository(machine)
    machine.newer = {"refstack-worker": ["9.9-1"], "python3-refstack-worker": ["9.9-1"]}
    step = worker(machine, **{"packages.version": "9.9"})
    assert "refstack-execute-test" not in changes(step)


@pytest.mark.parametrize("is_installed", [False, True])
def test_a_version_that_the_repository_does_not_have_is_refused_before_anything_changes(
    machine: NodeMachine, is_installed: bool
) -> None:
    if is_installed:
        add_repository(machine)
        machine.install("refstack-worker")
    before = machine.files()
    with pytest.raises(StepError, match=r"does not have refstack-worker 9.9.9; check packages.version"):
        worker(machine, **{"packages.version": "9.9.9"}).check()
    assert machine.files() == before


def test_a_version_that_is_newer_than_the_index_of_the_node_is_found(machine: NodeMachine) -> None:
    add_repository(machine)
    machine.install("refstack-worker")
    machine.newer = {name: [version] for name, version in FAMILY.items()}
    before = machine.files()
    assert changes(worker(machine, **{"packages.version": "9.9"}))["refstack-worker"] == "9.9"
    assert machine.files() == before


def test_the_index_of_the_node_is_enough_for_what_it_has(machine: NodeMachine) -> None:
    add_repository(machine)
    machine.calls.clear()
    worker(machine, **{"packages.version": "1.2.3"}).check()
    tempest(machine, "47.0.0").check()
    assert not [call for call in machine.calls if "update" in call]


def test_the_index_of_another_repository_does_not_count(machine: NodeMachine) -> None:
    add_repository(machine)
    step = worker(machine, **{"packages.version": "1.2.3", "repository.url": "https://other.example"})
    machine.calls.clear()
    step.check()
    assert [call for call in machine.calls if "update" in call]


def test_an_unreachable_repository_is_an_error_before_anything_changes(machine: NodeMachine) -> None:
    machine.faults = {"apt-get .*update": machine.failed("E: Failed to fetch http://x", 100)}
    with pytest.raises(StepError, match="cannot be reached"):
        worker(machine, **{"packages.version": "1.2.3"}).check()


def test_a_tempest_version_that_the_repository_does_not_have_is_refused(machine: NodeMachine) -> None:
    with pytest.raises(StepError, match="does not have refstack-tempest-1.2.3; check tempest.versions"):
        tempest(machine, "47.0.0", "1.2.3").check()


def test_a_bundle_may_have_what_is_not_unpacked_yet(machine: NodeMachine) -> None:
    context = machine.context(**{"bundle.file": "/b", "tempest.versions": ["1.2.3"], "repository.url": ""})
    (machine.root / "var/lib/refstack-install/bundle").mkdir(parents=True)
    key = (machine.root.parent / "inputs" / "key.asc").read_bytes()
    (machine.root / "var/lib/refstack-install/bundle/key.asc").write_bytes(key)
    assert changes(TempestPackagesStep(context, Apt(context.system, 0))) == {"refstack-tempest-1.2.3": "installed"}
