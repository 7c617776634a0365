"""Only pinned keys are trusted, wherever the key file comes from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from refstack_install import openpgp
from refstack_install.errors import AnswersError, StepError
from refstack_install.packages.apt import Apt
from refstack_install.packages.dnf import Dnf
from refstack_install.packages.keyring import trusted_keys
from refstack_install.packages.manager import PackageManager, TrustedKeys

from tests.support.gpg import GnuPG, gnupg
from tests.support.http_server import Reply, Scripted, serving
from tests.support.node_machine import NodeMachine

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@dataclass(frozen=True)
class Keys:
    """The repository's key, its next one, and an attacker's."""

    gpg: GnuPG
    genuine: str
    new: str
    evil: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    with gnupg(tmp_path_factory.mktemp("gpg")) as gpg:
        yield Keys(gpg, gpg.new_key("genuine"), gpg.new_key("new"), gpg.new_key("evil"))


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as running:
        yield running


@pytest.fixture(params=[Apt, Dnf])
def manager(request: pytest.FixtureRequest, machine: NodeMachine) -> PackageManager:
    machine.faults["^rpm -qf"] = machine.failed()
    made: PackageManager = request.param(machine.context().system, 0)
    return made


def trusted(machine: NodeMachine, manager: PackageManager, key: str, *pins: str) -> TrustedKeys:
    answers = machine.context(**{"repository.key": key, "repository.fingerprint": list(pins)}).answers
    return trusted_keys(manager.system, answers, manager, "https://packages.example/refstack")


def fingerprints(keys: TrustedKeys) -> list[str]:
    return openpgp.fingerprints(keys.content)


def install(machine: NodeMachine, path: str, content: bytes) -> None:
    place = machine.root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


@pytest.mark.parametrize("armor", [False, True])
@pytest.mark.parametrize("evil_first", [False, True])
def test_a_key_from_the_network_is_reduced_to_the_pinned_one(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys, armor: bool, evil_first: bool
) -> None:
    order = (keys.evil, keys.genuine) if evil_first else (keys.genuine, keys.evil)
    server.on("/key", Reply(body=keys.gpg.export(*order, armor=armor)))
    assert fingerprints(trusted(machine, manager, f"{server.url}/key", keys.genuine)) == [keys.genuine]


def test_so_is_a_key_file(machine: NodeMachine, manager: PackageManager, keys: Keys, tmp_path: Path) -> None:
    file = tmp_path / "key.asc"
    file.write_bytes(keys.gpg.export(keys.evil, keys.genuine))
    assert fingerprints(trusted(machine, manager, str(file), keys.genuine)) == [keys.genuine]
    assert fingerprints(trusted(machine, manager, str(file))) == [keys.evil, keys.genuine], (
        "no pin: the file is trusted"
    )


@pytest.mark.parametrize("evil_first", [False, True])
def test_so_is_the_key_that_is_on_the_node(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys, evil_first: bool
) -> None:
    """A node that was set up with an attacker's key gets rid of it."""
    order = (keys.evil, keys.genuine) if evil_first else (keys.genuine, keys.evil)
    install(machine, manager.key_path, keys.gpg.export(*order))
    for source in (f"{server.url}/key", "/a/file/that/is/gone"):
        assert fingerprints(trusted(machine, manager, source, keys.genuine)) == [keys.genuine]
    assert not server.asked, "nothing has to be fetched"
    with pytest.raises(AnswersError, match="no such file"):
        trusted(machine, manager, "/a/file/that/is/gone", keys.new)


def test_a_rollover_fetches_the_new_key_and_needs_no_network_afterwards(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys
) -> None:
    url = f"{server.url}/key"
    install(machine, manager.key_path, keys.gpg.export(keys.genuine))
    server.on("/key", Reply(body=keys.gpg.export(keys.genuine, keys.new, keys.evil)))
    both = trusted(machine, manager, url, keys.genuine, keys.new)
    assert fingerprints(both) == [keys.genuine, keys.new]
    install(machine, manager.key_path, both.content)
    server.on("/key", Reply(status=503))
    assert trusted(machine, manager, url, keys.genuine, keys.new) == both
    assert len(server.asked) == 1
    assert fingerprints(trusted(machine, manager, url, keys.new)) == [keys.new], "the old key goes with its pin"


def test_without_network_the_pinned_key_on_the_node_still_holds(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys
) -> None:
    install(machine, manager.key_path, keys.gpg.export(keys.genuine))
    server.on("/key", Reply(status=503))
    assert fingerprints(trusted(machine, manager, f"{server.url}/key", keys.genuine, keys.new)) == [keys.genuine]
    with pytest.raises(StepError, match="cannot fetch the repository's key"):
        trusted(machine, manager, f"{server.url}/key", keys.new)


def test_a_key_from_the_network_needs_a_pin(machine: NodeMachine, manager: PackageManager, server: Scripted) -> None:
    with pytest.raises(AnswersError, match="trusted only by its fingerprint"):
        trusted(machine, manager, f"{server.url}/key")
    assert not server.asked


def test_a_key_from_the_network_that_is_not_pinned_is_refused(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys
) -> None:
    server.on("/key", Reply(body=keys.gpg.export(keys.evil)))
    with pytest.raises(AnswersError, match=f"the key is {keys.evil}, not {keys.genuine}"):
        trusted(machine, manager, f"{server.url}/key", keys.genuine)


def own_by_package(machine: NodeMachine, manager: PackageManager, content: bytes) -> None:
    """Install a keyring package that has these keys."""
    install(machine, manager.key_path, content)
    machine.faults["^rpm -qf"] = machine.failed()
    machine.faults[f"^rpm -qf {manager.key_path}$"] = machine.succeeded()
    machine.faults = dict(reversed(machine.faults.items()))
    machine.write("var/lib/dpkg/info/refstack-archive-keyring.list", f"/.\n{manager.key_path}\n")


def test_the_keyring_package_may_hold_the_next_key_too(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys
) -> None:
    own_by_package(machine, manager, keys.gpg.export(keys.genuine, keys.new))
    found = trusted(machine, manager, f"{server.url}/key", keys.genuine)
    assert (found.path, found.is_packaged) == (manager.key_path, True)
    assert fingerprints(found) == [keys.genuine, keys.new]
    assert not server.asked


def test_a_damaged_file_of_the_keyring_package_is_not_used(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys
) -> None:
    own_by_package(machine, manager, keys.gpg.export(keys.genuine)[:40])
    server.on("/key", Reply(body=keys.gpg.export(keys.genuine)))
    assert trusted(machine, manager, f"{server.url}/key", keys.genuine).path == manager.own_key_path


def test_a_node_moves_to_a_repository_with_another_key(
    machine: NodeMachine, manager: PackageManager, server: Scripted, keys: Keys, tmp_path: Path
) -> None:
    own_by_package(machine, manager, keys.gpg.export(keys.genuine))
    server.on("/key", Reply(body=keys.gpg.export(keys.new, keys.evil)))
    found = trusted(machine, manager, f"{server.url}/key", keys.new)
    assert (found.path, found.is_packaged) == (manager.own_key_path, False)
    assert fingerprints(found) == [keys.new]
    file = tmp_path / "key.asc"
    file.write_bytes(keys.gpg.export(keys.new))
    assert trusted(machine, manager, str(file)).path == manager.own_key_path, "also by a key file without a pin"
    own_by_package(machine, manager, keys.gpg.export(keys.new))
    assert trusted(machine, manager, f"{server.url}/key", keys.new).path == manager.key_path
