"""OpenPGP keys are read without external programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refstack_install.errors import AnswersError
from refstack_install.packages import openpgp

from tests.support.node_machine import FINGERPRINT, KEY


def test_the_fingerprint_is_the_one_that_gpg_shows() -> None:
    assert openpgp.fingerprints(openpgp.dearmor(KEY.encode())) == [FINGERPRINT]


def test_both_forms_are_the_same_key() -> None:
    binary = openpgp.dearmor(KEY.encode())
    assert openpgp.dearmor(binary) == binary
    assert openpgp.dearmor(openpgp.armor(binary)) == binary
    assert openpgp.armor(binary) == KEY.encode(), "the same lines and the same check sum as gpg's"


def test_a_header_inside_the_armor_is_skipped() -> None:
    with_header = KEY.replace("BLOCK-----\n\n", "BLOCK-----\nComment: x: y\n\n", 1)
    assert openpgp.fingerprints(openpgp.dearmor(with_header.encode())) == [FINGERPRINT]


@pytest.mark.parametrize("algorithm", ["rsa3072", "nistp256"])
def test_other_algorithms(tmp_path: Path, algorithm: str) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not here")
    call = ["gpg", "--homedir", str(tmp_path), "--batch", "--quiet"]
    make = [*call, "--passphrase", "", "--quick-gen-key", "x <x@example.invalid>", algorithm, "sign"]
    subprocess.run(make, check=True, capture_output=True)
    exported = subprocess.run([*call, "--export"], check=True, capture_output=True).stdout
    listing = subprocess.run([*call, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True).stdout
    [told] = [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")]
    assert openpgp.fingerprints(exported) == [told]
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=False)


@pytest.mark.parametrize("key", [b"", b"hello", KEY.encode()[:200], b"\x99\xff\xff", b"\xc6"])
def test_other_data_is_refused(key: bytes) -> None:
    with pytest.raises(AnswersError):
        openpgp.fingerprints(openpgp.dearmor(key))


@given(st.binary(max_size=200))
def test_any_bytes_give_fingerprints_or_one_clear_error(key: bytes) -> None:
    try:
        assert openpgp.fingerprints(openpgp.dearmor(key))
    except AnswersError:
        pass
