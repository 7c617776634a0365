"""The RPM database: packages and keys."""

from __future__ import annotations

import pytest
from refstack_install.openpgp import only_pinned
from refstack_install.packages.dnf import Dnf
from refstack_install.packages.manager import Repository, TrustedKeys
from refstack_install.system import Completed

from tests.support.node_machine import FINGERPRINT, KEY, NodeMachine

SHORT = FINGERPRINT[-8:].lower()
OTHER = "gpg-pubkey-8483c65d-5ccc5b19"


@pytest.fixture
def dnf(machine: NodeMachine) -> Dnf:
    return Dnf(machine.context().system, 0)


def test_versions_carry_their_epoch(machine: NodeMachine, dnf: Dnf) -> None:
    rows = f"bash\t5.1-1\nperl\t4:5.32-1\ngpg-pubkey\t{SHORT}-1\n"
    machine.faults = {"rpm -qa": machine.succeeded(rows)}
    assert dnf.installed() == {"bash": "5.1-1", "perl": "4:5.32-1"}


def test_index_and_packages_must_be_signed(dnf: Dnf) -> None:
    keys = TrustedKeys(only_pinned(KEY.encode(), []), Dnf.key_path)
    key, source = dnf.repository_files(Repository("https://x/yum", "stable", "main", keys))
    assert key.content == KEY.encode()
    for line in (b"gpgcheck=1", b"repo_gpgcheck=1", b"gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-refstack"):
        assert line in source.content.splitlines()


@pytest.mark.parametrize("name", [f"gpg-pubkey-{SHORT}-5ccc5b19", f"gpg-pubkey-{FINGERPRINT.lower()}-5ccc5b19"])
def test_only_the_named_keys_are_removed_from_the_database(machine: NodeMachine, dnf: Dnf, name: str) -> None:
    machine.faults = {"rpm -q gpg-pubkey": machine.succeeded(f"{OTHER}\n{name}\n"), "rpm -e": machine.succeeded()}
    dnf.distrust({FINGERPRINT}, keep=[name])
    dnf.distrust({"0" * 40})
    assert not [call for call in machine.calls if call.startswith("rpm -e")]
    dnf.distrust({FINGERPRINT})
    assert [call for call in machine.calls if call.startswith("rpm -e")] == [f"rpm -e {name}"]


def test_a_database_without_keys(machine: NodeMachine, dnf: Dnf) -> None:
    machine.faults = {"rpm -q": Completed(("rpm",), 1, "package gpg-pubkey is not installed\n", "")}
    assert dnf.trusted() == []
    dnf.distrust({FINGERPRINT})
