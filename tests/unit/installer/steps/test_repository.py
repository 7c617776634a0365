"""The repository's key, source and index."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from refstack_install.errors import VerifyError
from refstack_install.packages.apt import SOURCES, Apt
from refstack_install.packages.dnf import Dnf
from refstack_install.steps.repository import RepositoryStep

from tests.support.gpg import gnupg
from tests.support.node_machine import FINGERPRINT, KEY, NodeMachine


def step(machine: NodeMachine, **answers: object) -> RepositoryStep:
    context = machine.context(**answers)
    return RepositoryStep(context, Apt(context.system, 0))


def test_key_source_and_index_come_and_go(machine: NodeMachine) -> None:
    before = machine.files()
    made = step(machine)
    assert [change.what for change in made.check()][2:] == ["package index"]
    record = made.snapshot()
    made.apply()
    made.verify()
    assert made.check() == []
    made.undo(record)
    assert machine.files() == before


def test_a_file_that_somebody_changed_is_put_right(machine: NodeMachine) -> None:
    step(machine).apply()
    machine.write(SOURCES.lstrip("/"), "Trusted: yes\n")
    [change] = step(machine).check()
    assert "-Trusted: yes" not in change.after and change.before == "Trusted: yes\n"
    step(machine).apply()
    assert step(machine).check() == []


def test_keys_are_shown_by_their_digest(machine: NodeMachine) -> None:
    assert step(machine).check()[0].after.startswith("sha256:")


def test_a_repository_without_the_worker_is_not_accepted(machine: NodeMachine) -> None:
    made = step(machine)
    made.apply()
    machine.index.pop("refstack-worker")
    with pytest.raises(VerifyError, match="offers no refstack-worker for this distribution"):
        made.verify()


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
def test_keys_that_are_not_pinned_any_more_leave_the_database(machine: NodeMachine, tmp_path: Path) -> None:
    with gnupg(tmp_path / "gpg") as gpg:
        new = gpg.new_key("new")
        (tmp_path / "new.asc").write_bytes(gpg.export(new))
    names = {fingerprint: f"gpg-pubkey-{fingerprint[-8:].lower()}-1" for fingerprint in (FINGERPRINT, new)}
    database = machine.succeeded("".join(f"{name}\n" for name in names.values()))
    machine.faults = {"rpm -qf": machine.failed(), "rpm -q ": database, "^(rpm|dnf)": machine.succeeded()}
    manager = Dnf(machine.context().system, 0)
    machine.write(manager.key_path.lstrip("/"), KEY)
    context = machine.context(**{"repository.key": str(tmp_path / "new.asc"), "repository.fingerprint": [new]})
    RepositoryStep(context, manager).apply()
    assert [call for call in machine.calls if call.startswith("rpm -e")] == [f"rpm -e {names[FINGERPRINT]}"]
    machine.calls.clear()
    RepositoryStep(context, manager).undo({"files": [], "known": True, "trusted": [names[new]]})
    assert not [call for call in machine.calls if call.startswith("rpm -e")], "it was there before"
