"""OpenPGP keys are read without external programs, and only pinned ones are kept."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refstack_install import openpgp
from refstack_install.errors import AnswersError

from tests.support.gpg import GnuPG, gnupg
from tests.support.node_machine import FINGERPRINT, KEY

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@dataclass(frozen=True)
class Keys:
    """The repository's key and an attacker's."""

    gpg: GnuPG
    genuine: str
    evil: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    with gnupg(tmp_path_factory.mktemp("gpg")) as gpg:
        yield Keys(gpg, gpg.new_key("genuine"), gpg.new_key("evil", "rsa2048"))


FORMS: dict[str, Callable[[GnuPG, tuple[str, ...]], bytes]] = {
    "binary": lambda gpg, order: gpg.export(*order),
    "armored in one block": lambda gpg, order: gpg.export_in_one_block(*order),
    "armored in two blocks": lambda gpg, order: gpg.export(*order, armor=True),
}


@needs_gpg
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("evil_first", [False, True])
def test_keys_that_are_not_pinned_are_left_out(keys: Keys, form: str, evil_first: bool) -> None:
    order = (keys.evil, keys.genuine) if evil_first else (keys.genuine, keys.evil)
    both = FORMS[form](keys.gpg, order)
    assert openpgp.fingerprints(both) == list(order)
    assert openpgp.only_pinned(both, [keys.genuine]) == keys.gpg.export(keys.genuine)
    assert openpgp.only_pinned(both, [keys.evil, keys.genuine]) == keys.gpg.export(*order), "a rollover pins two"
    assert openpgp.only_pinned(both, []) == keys.gpg.export(*order)


@needs_gpg
@pytest.mark.parametrize("evil", [b"\x03", b"\x05", b"\x09"], ids=["version 3", "version 5", "unknown version"])
def test_a_key_of_an_unsupported_version_does_not_hide_in_the_pinned_one(keys: Keys, evil: bytes) -> None:
    genuine = keys.gpg.export(keys.genuine)
    body = evil + b"\0" * 40
    hidden = bytes([0x98, len(body)]) + body + bytes([0xB4, 1]) + b"x"
    for together in (genuine + hidden, hidden + genuine):
        assert openpgp.only_pinned(together, [keys.genuine]) == genuine


@needs_gpg
def test_packets_that_do_not_belong_to_a_key_are_dropped(keys: Keys) -> None:
    genuine, marker, private = keys.gpg.export(keys.genuine), b"\xa8\x03PGP", b"\xfd\x02xy"
    assert openpgp.only_pinned(marker + genuine + private, [keys.genuine]) == genuine


@needs_gpg
def test_a_private_key_is_refused(keys: Keys) -> None:
    with pytest.raises(AnswersError, match="contains a private key"):
        openpgp.fingerprints(keys.gpg.run("--export-secret-keys", keys.genuine))


@needs_gpg
def test_a_file_without_the_pinned_key_is_refused(keys: Keys) -> None:
    with pytest.raises(AnswersError, match=rf"the key is {keys.evil}, not {keys.genuine}.*compare"):
        openpgp.only_pinned(keys.gpg.export(keys.evil), [keys.genuine])


@needs_gpg
@pytest.mark.parametrize("header", [b"\xc6\xe1", b"\xc6\xf0", b"\x9b"], ids=["partial", "partial", "unknown length"])
def test_lengths_that_programs_read_differently_are_refused(keys: Keys, header: bytes) -> None:
    with pytest.raises(AnswersError, match="damaged"):
        openpgp.only_pinned(keys.gpg.export(keys.genuine) + header + keys.gpg.export(keys.evil), [keys.genuine])


@needs_gpg
def test_subkeys_stay_with_their_primary_key(keys: Keys) -> None:
    primary = keys.gpg.new_key("with-subkey")
    subkey = keys.gpg.add_signing_subkey(primary)
    exported = keys.gpg.export(primary, keys.evil)
    assert openpgp.fingerprints(exported) == [primary, keys.evil], "a subkey cannot be pinned"
    assert openpgp.only_pinned(exported, [primary]) == keys.gpg.export(primary)
    with pytest.raises(AnswersError):
        openpgp.only_pinned(exported, [subkey])


@needs_gpg
def test_text_form_has_one_block_for_each_key(keys: Keys) -> None:
    text = openpgp.armor(keys.gpg.export(keys.genuine, keys.evil))
    assert text.count(b"BEGIN PGP PUBLIC KEY BLOCK") == 2
    assert text == keys.gpg.export(keys.genuine, keys.evil, armor=True)


def test_the_fingerprint_is_the_one_that_gpg_shows() -> None:
    assert openpgp.fingerprints(KEY.encode()) == [FINGERPRINT]


def test_both_forms_are_the_same_key() -> None:
    binary = openpgp.only_pinned(KEY.encode(), [])
    assert openpgp.only_pinned(binary, []) == binary
    assert openpgp.only_pinned(openpgp.armor(binary), []) == binary
    assert openpgp.armor(binary) == KEY.encode(), "the same lines and the same check sum as gpg's"


def test_a_header_inside_the_armor_is_skipped() -> None:
    with_header = KEY.replace("BLOCK-----\n\n", "BLOCK-----\nComment: x: y\n\n", 1)
    assert openpgp.fingerprints(with_header.encode()) == [FINGERPRINT]


@needs_gpg
@pytest.mark.parametrize("algorithm", ["rsa3072", "nistp256"])
def test_other_algorithms(keys: Keys, algorithm: str) -> None:
    fingerprint = keys.gpg.new_key(algorithm, algorithm)
    assert openpgp.fingerprints(keys.gpg.export(fingerprint)) == [fingerprint]


@pytest.mark.parametrize("key", [b"", b"hello", KEY.encode()[:200], b"\x99\xff\xff", b"\xc6", b"\x98\x01\x03"])
def test_other_data_is_refused(key: bytes) -> None:
    with pytest.raises(AnswersError):
        openpgp.fingerprints(key)


@given(st.binary(max_size=200))
def test_any_bytes_give_fingerprints_or_one_clear_error(key: bytes) -> None:
    try:
        assert openpgp.fingerprints(key)
    except AnswersError:
        pass


@given(st.lists(st.tuples(st.sampled_from([2, 6, 13, 14, 17]), st.binary(min_size=1, max_size=300)), max_size=4))
def test_what_is_kept_reads_the_same_again(packets: list[tuple[int, bytes]]) -> None:
    pinned = openpgp.certificates(KEY.encode())[0].content
    more = b"".join(bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body for tag, body in packets)
    kept = openpgp.only_pinned(pinned + more, [FINGERPRINT])
    assert openpgp.only_pinned(kept, []) == kept
    tags = list(itertools.takewhile(lambda tag: tag != 6, (tag for tag, _ in packets)))
    assert len(kept) >= len(pinned) + sum(len(body) for (_, body), _ in zip(packets, tags))
