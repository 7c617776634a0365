"""A signature counts only if a pinned key made it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from refstack_install.bundle import signature
from refstack_install.errors import AnswersError, BundleError
from refstack_install.system import System

from tests.support.gpg import GnuPG, gnupg

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
CONTENT = b"the manifest"
VERIFIERS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"))
    for name in ("gpgv", "sqv", "gpg")
]


@dataclass(frozen=True)
class Keys:
    """The bundle maker's key and an attacker's."""

    gpg: GnuPG
    genuine: str
    evil: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    with gnupg(tmp_path_factory.mktemp("gpg")) as gpg:
        yield Keys(gpg, gpg.new_key("genuine"), gpg.new_key("evil"))


@pytest.fixture(params=VERIFIERS)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    """A machine that has only one of the programs that check signatures."""
    program = shutil.which(request.param)
    assert program is not None
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / request.param).symlink_to(program)
    return System(environ={"PATH": str(folder)})


def check(keys: Keys, system: System, signers: tuple[str, ...], in_file: tuple[str, ...], *pins: str) -> None:
    signature.check(CONTENT, keys.gpg.sign(CONTENT, *signers), keys.gpg.export(*in_file), pins, system)


def test_the_pinned_key_is_accepted(keys: Keys, system: System) -> None:
    check(keys, system, (keys.genuine,), (keys.genuine,), keys.genuine)
    check(keys, system, (keys.genuine,), (keys.evil, keys.genuine), keys.genuine)


@pytest.mark.parametrize("evil_first", [False, True])
def test_another_key_beside_the_pinned_one_is_refused(keys: Keys, system: System, evil_first: bool) -> None:
    in_file = (keys.evil, keys.genuine) if evil_first else (keys.genuine, keys.evil)
    with pytest.raises(BundleError, match="signature is wrong"):
        check(keys, system, (keys.evil,), in_file, keys.genuine)


def test_a_rollover_pins_two_keys(keys: Keys, system: System) -> None:
    new = keys.gpg.new_key("new")
    for signer in (keys.genuine, new):
        check(keys, system, (signer,), (keys.genuine, new), keys.genuine, new)


def test_a_signing_subkey_counts_as_its_primary_key(keys: Keys, system: System) -> None:
    primary = keys.gpg.new_key("primary")
    subkey = keys.gpg.add_signing_subkey(primary)
    check(keys, system, (f"{subkey}!",), (primary,), primary)


def test_a_subkey_that_its_primary_key_did_not_sign_is_refused(keys: Keys, system: System) -> None:
    """An attacker appends a subkey to the genuine key; its binding signature is by the attacker's primary key."""
    owner = keys.gpg.new_key("owner-of-the-subkey")
    subkey = keys.gpg.add_signing_subkey(owner)
    exported = keys.gpg.export(owner)
    forged = keys.gpg.export(keys.genuine) + exported[exported.rindex(b"\xb8\x33") :]
    made = keys.gpg.sign(CONTENT, f"{subkey}!")
    with pytest.raises(BundleError, match="signature is wrong"):
        signature.check(CONTENT, made, forged, [keys.genuine], system)


def test_changed_content_is_refused(keys: Keys, system: System) -> None:
    made = keys.gpg.sign(CONTENT, keys.genuine)
    with pytest.raises(BundleError, match="signature is wrong"):
        signature.check(CONTENT + b"x", made, keys.gpg.export(keys.genuine), [keys.genuine], system)


def test_an_expired_key_is_refused(keys: Keys, system: System) -> None:
    if system.has("sqv"):
        pytest.skip("sqv accepts what a key signed before it expired")
    expired = keys.gpg.expired_key("expired")
    made = keys.gpg.sign(CONTENT, expired, more=("--faked-system-time", "20010601T000000"))
    with pytest.raises(BundleError, match="signature is wrong"):
        signature.check(CONTENT, made, keys.gpg.export(expired), [expired], system)


def test_a_revoked_key_is_refused(keys: Keys, system: System) -> None:
    revoked = keys.gpg.new_key("revoked")
    made = keys.gpg.sign(CONTENT, revoked)
    keys.gpg.revoke(revoked)
    with pytest.raises(BundleError, match="signature is wrong"):
        signature.check(CONTENT, made, keys.gpg.export(revoked), [revoked], system)


def test_a_key_file_without_the_pinned_key_is_refused(keys: Keys, system: System) -> None:
    with pytest.raises(AnswersError, match=f"not {keys.genuine}"):
        check(keys, system, (keys.evil,), (keys.evil,), keys.genuine)


def test_without_a_program_nothing_is_accepted(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="install gpgv, sqv or gpg"):
        check(keys, System(environ={"PATH": str(tmp_path)}), (keys.genuine,), (keys.genuine,), keys.genuine)
