"""dnf's caches and versions. tests/system/installer/test_dnf.py uses the real dnf."""

from __future__ import annotations

import pytest
from refstack_install.openpgp import only_pinned
from refstack_install.packages.dnf import Dnf
from refstack_install.packages.manager import Repository, TrustedKeys

from tests.support.node_machine import KEY, NodeMachine

REPOSITORY = Repository("https://x/yum", "stable", "main", TrustedKeys(only_pinned(KEY.encode(), []), Dnf.key_path))


@pytest.fixture
def dnf(machine: NodeMachine) -> Dnf:
    machine.faults = {"^dnf": machine.succeeded()}
    return Dnf(machine.context().system, 0)


@pytest.mark.parametrize("cache", ["var/cache/dnf", "var/cache/libdnf5"])
def test_keys_of_an_earlier_index_are_forgotten_before_a_refresh(machine: NodeMachine, dnf: Dnf, cache: str) -> None:
    machine.write(f"{cache}/refstack-0123/repodata/repomd.xml", "index")
    machine.write(f"{cache}/refstack-0123/pubring/pubring.kbx", "old key")
    machine.write(f"{cache}/fedora-0123/pubring/pubring.kbx", "another repository's")
    assert dnf.knows(REPOSITORY)
    dnf.refresh(REPOSITORY)
    assert sorted(path.parent.parent.name for path in (machine.root / cache).rglob("pubring.kbx")) == ["fedora-0123"]
    dnf.forget(REPOSITORY)
    assert not dnf.knows(REPOSITORY)


def test_versions_of_a_package(machine: NodeMachine, dnf: Dnf) -> None:
    machine.faults = {"repoquery": machine.succeeded("refstack-worker 1.0-1\nrefstack-worker 1.1-1\n\nx\n")}
    assert dnf.offered(["refstack-worker"]) == {"refstack-worker": ["1.0-1", "1.1-1"]}
    assert dnf.look_up(REPOSITORY, ["refstack-worker"]) == {"refstack-worker": ["1.0-1", "1.1-1"]}
