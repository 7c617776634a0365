"""The bundle is unpacked where the package manager reads it, and put back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from refstack_install.bundle import archive
from refstack_install.errors import BundleError
from refstack_install.openpgp import fingerprints
from refstack_install.packages.apt import Apt
from refstack_install.packages.repository import from_answers
from refstack_install.step import Context
from refstack_install.steps.bundle import BundleStep
from refstack_install.system import System

from tests.support.gpg import GnuPG, gnupg
from tests.support.node_machine import NodeMachine

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GnuPG]:
    with gnupg(tmp_path_factory.mktemp("gpg")) as made:
        yield made


@pytest.fixture(scope="module")
def fingerprint(gpg: GnuPG) -> str:
    return gpg.new_key("bundler")


def make(folder: Path, gpg: GnuPG, fingerprint: str, content: bytes) -> Path:
    tree = folder / f"tree-{content.decode()}"
    (tree / "apt").mkdir(parents=True)
    (tree / "apt" / "file").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(gpg.home))
        archive.write(tree, folder / "bundle", System(), fingerprint)
    return folder / "bundle"


def context(machine: NodeMachine, file: Path, fingerprint: str) -> Context:
    made = machine.context(**{"bundle.file": str(file), "repository.url": "", "repository.key": "",
                              "repository.fingerprint": [fingerprint]})  # fmt: skip
    return Context(System(made.system.root), made.answers)


def content(machine: NodeMachine) -> bytes:
    return (machine.root / archive.FOLDER.lstrip("/") / "apt" / "file").read_bytes()


def test_a_bundle_comes_changes_and_goes(machine: NodeMachine, tmp_path: Path, gpg: GnuPG, fingerprint: str) -> None:
    file = make(tmp_path, gpg, fingerprint, b"one")
    step = BundleStep(context(machine, file, fingerprint))
    assert step.check()
    first = step.snapshot()
    step.apply()
    first = step.settle(first)
    assert (content(machine), step.check()) == (b"one", [])

    make(tmp_path, gpg, fingerprint, b"two")
    assert step.check()[0].before == "another bundle"
    second = step.snapshot()
    step.apply()
    assert content(machine) == b"two"
    step.undo(second)
    assert content(machine) == b"one"

    file.unlink()
    assert step.check() == [], "what was unpacked stays in use"
    step.undo(first)
    assert not (machine.root / archive.FOLDER.lstrip("/")).exists()


def test_an_attackers_bundle_leaves_the_former_one(
    machine: NodeMachine, tmp_path: Path, gpg: GnuPG, fingerprint: str
) -> None:
    file = make(tmp_path, gpg, fingerprint, b"one")
    step = BundleStep(context(machine, file, fingerprint))
    step.apply()
    make(tmp_path, gpg, gpg.new_key("evil"), b"evil")
    record = step.snapshot()
    with pytest.raises(Exception, match="not " + fingerprint):
        step.apply()
    step.undo(record)
    assert content(machine) == b"one"


def test_without_a_bundle_there_is_nothing_to_do(machine: NodeMachine) -> None:
    assert BundleStep(machine.context()).check() == []


def test_the_key_comes_from_the_verified_bundle_before_it_is_unpacked(
    machine: NodeMachine, tmp_path: Path, gpg: GnuPG, fingerprint: str
) -> None:
    """So plan works on a bare machine."""
    file = make(tmp_path, gpg, fingerprint, b"one")
    made = context(machine, file, fingerprint)
    keys = from_answers(made.system, made.answers, Apt(made.system, 0)).keys
    assert fingerprints(keys.content) == [fingerprint]
    file.write_bytes(file.read_bytes().replace(b'"format"', b'"xormat"'))
    with pytest.raises(BundleError):
        from_answers(made.system, made.answers, Apt(made.system, 0))
