"""zypper's commands, as its manual gives them; it has never been run."""

from __future__ import annotations

import pytest
from refstack_install.packages.manager import Repository, TrustedKeys
from refstack_install.packages.zypper import Zypper

from tests.support.node_machine import NodeMachine

REPOSITORY = Repository("https://x/yum", "stable", "main", TrustedKeys(b"", Zypper.own_key_path))


@pytest.fixture
def zypper(machine: NodeMachine) -> Zypper:
    info = machine.succeeded("Name : x\nVersion        : 1.2-1\n")
    machine.faults = {"zypper .*info": info, "^(zypper|rpm)": machine.succeeded()}
    return Zypper(machine.context().system, 0)


def test_the_key_is_imported_before_the_index_is_fetched(machine: NodeMachine, zypper: Zypper) -> None:
    zypper.refresh(REPOSITORY)
    imported, refreshed = machine.calls
    assert imported.startswith("rpm --import") and imported.endswith(Zypper.own_key_path)
    assert refreshed == "zypper --non-interactive refresh --force refstack"


def test_versions(machine: NodeMachine, zypper: Zypper) -> None:
    assert zypper.candidate("x") == "1.2-1"
    assert zypper.offered(["x"]) == {"x": ["1.2-1"]}
    assert zypper.look_up(REPOSITORY, ["x"]) is None, "it cannot be asked without changing the node"
    zypper.install({"x": "1.2-1", "y": ""})
    assert machine.calls[-1].endswith("install --no-recommends --allow-downgrade x=1.2-1 y")


def test_forgetting_removes_the_caches(machine: NodeMachine, zypper: Zypper) -> None:
    machine.write("var/cache/zypp/raw/refstack/repodata/repomd.xml", "index")
    assert zypper.knows(REPOSITORY)
    zypper.forget(REPOSITORY)
    assert not zypper.knows(REPOSITORY)
