"""apt's sources, indexes and packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from refstack_install.errors import StepError
from refstack_install.packages.apt import Apt
from refstack_install.packages.manager import Repository, TrustedKeys
from refstack_install.system import Completed

from tests.support.node_machine import LISTS, NodeMachine

KEYS = TrustedKeys(b"key", Apt.key_path)
REPOSITORY = Repository("https://packages.example/refstack/apt", "stable", "main", KEYS)


@pytest.fixture
def apt(machine: NodeMachine) -> Apt:
    return Apt(machine.context().system, 0)


def test_the_source_trusts_only_its_own_key(apt: Apt) -> None:
    key, source = apt.repository_files(REPOSITORY)
    assert (key.path, key.content) == (apt.system.path(Apt.key_path), b"key")
    assert b"\nURIs: https://packages.example/refstack/apt\n" in source.content
    assert b"\nSigned-By: /usr/share/keyrings/refstack-archive-keyring.gpg\nAllow-Insecure: no\n" in source.content


def test_a_packaged_key_file_is_left_alone(apt: Apt) -> None:
    packaged = Repository("https://x/apt", "stable", "main", TrustedKeys(b"key", Apt.key_path, True))
    [source] = apt.repository_files(packaged)
    assert b"Signed-By: " + Apt.key_path.encode() in source.content


def test_the_index_is_known_after_it_was_fetched(machine: NodeMachine, apt: Apt) -> None:
    assert not apt.knows(REPOSITORY)
    apt.refresh(REPOSITORY)
    assert apt.knows(REPOSITORY)
    assert not apt.knows(Repository("https://packages.example/refst/apt", "stable", "main", KEYS))
    apt.forget(REPOSITORY)
    assert not (machine.root / LISTS).exists()


def test_an_index_without_signature_is_an_error(machine: NodeMachine, apt: Apt) -> None:
    machine.faults = {"apt-get .*update": machine.succeeded()}
    with pytest.raises(StepError, match="has no signed index for stable"):
        apt.refresh(REPOSITORY)


def test_looking_up_versions_changes_nothing_on_the_machine(machine: NodeMachine, apt: Apt) -> None:
    before = machine.files()
    assert apt.look_up(REPOSITORY, ["refstack-worker", "unknown"]) == {"refstack-worker": ["1.2.3-1"]}
    assert machine.files() == before
    [update] = [call for call in machine.calls if " update" in call]
    scratch = next(word for word in update.split() if "sourcelist" in word).split("=")[1]
    assert not Path(scratch).exists()


def test_a_version_that_the_old_index_lacks_is_found_after_a_refresh(machine: NodeMachine, apt: Apt) -> None:
    apt.refresh(REPOSITORY)
    machine.newer = {"refstack-execute-test": ["9.9-1"]}
    run = machine.run

    def fail_while_unknown(argv: list[str], extra: dict[str, str], timeout: float | None) -> Completed:
        if argv[-1] == "refstack-execute-test=9.9":
            return machine.failed("E: Version '9.9' for 'refstack-execute-test' was not found", 100)
        return run(argv, extra, timeout)

    object.__setattr__(apt.system, "run_with", fail_while_unknown)
    apt.install({"refstack-execute-test": "9.9"})
    assert machine.packages["refstack-execute-test"] == "9.9-1"


def test_a_removal_that_would_take_other_packages_along_is_refused(machine: NodeMachine, apt: Apt) -> None:
    machine.packages.update({"refstack-worker": "1", "mine": "1"})
    machine.faults = {"apt-get .* -s purge": machine.succeeded("Purg refstack-worker [1]\nRemv mine [1]\n")}
    with pytest.raises(StepError, match="would remove mine too"):
        apt.remove(["refstack-worker"])
    assert "refstack-worker" in machine.packages


def test_dpkg_is_asked_again_only_after_a_change(machine: NodeMachine, apt: Apt) -> None:
    machine.write("var/lib/dpkg/status", "one")
    (machine.root / "var/lib/dpkg/updates").mkdir()
    machine.write(LISTS, "signed")
    first = apt.installed()
    assert (apt.installed(), len(machine.calls)) == (first, 1)
    machine.packages["new"] = "1"
    status = machine.root / "var/lib/dpkg/status"
    os.utime(status, ns=(0, status.stat().st_mtime_ns + 1))
    assert apt.installed()["new"] == "1"
    machine.packages["half"] = "1"
    machine.write("var/lib/dpkg/updates/0001", "half")
    assert apt.installed()["half"] == "1"


def test_packages_of_a_second_architecture_have_it_in_their_name(machine: NodeMachine, apt: Apt) -> None:
    rows = "ii \tlibc6\tamd64\t2.36\nii \tlibc6\ti386\t2.36\nrc \told\tall\t1\nhi \theld\tall\t2\n"
    machine.faults = {"dpkg-query": machine.succeeded(rows)}
    assert apt.installed() == {"libc6": "2.36", "libc6:i386": "2.36", "held": "2"}
