from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.public import PrivateKey, SealedBox

from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import keys
from refstack_worker.contract.payload import Payload
from refstack_worker.errors import KeyFileError, PayloadError, SealError
from tests.unit.contract.conftest import Files, make_files


def test_the_fleet_opens_what_the_server_sealed(files: Files, payload: Payload) -> None:
    assert files.opener.open(files.sealer.seal(payload)) == payload


def test_nothing_can_be_read_in_it(files: Files, payload: Payload) -> None:
    envelope = files.sealer.seal(payload)
    box = base64.urlsafe_b64decode(envelope.rsplit(b".", 1)[1] + b"==")
    for word in (b"s3cr3t-of-the-cloud", payload.secret.encode(), b"cloud.example", b"tempest"):
        assert word not in envelope and word not in box


def test_sealing_twice_gives_other_bytes(files: Files, payload: Payload) -> None:
    assert files.sealer.seal(payload) != files.sealer.seal(payload)


@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_breaks_it(files: Files, payload: Payload, place: int, bit: int) -> None:
    envelope = bytearray(files.sealer.seal(payload))
    last_sextet = (len(envelope) - 1,)
    envelope[place % len(envelope)] ^= 1 << bit
    try:
        opened = files.opener.open(bytes(envelope))
    except PayloadError:
        return
    # base64's last character has bits that stand for nothing
    assert place % len(envelope) in last_sextet and opened == payload


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused(files: Files, data: bytes) -> None:
    with pytest.raises(PayloadError):
        files.opener.open(data)
    with pytest.raises(PayloadError):
        files.opener.open(b"rsw1.0123456789abcdef." + base64.urlsafe_b64encode(data))


def test_too_large_is_refused_before_it_is_decoded(files: Files) -> None:
    with pytest.raises(PayloadError, match="more than the"):
        files.opener.open(b"rsw1.0123456789abcdef." + b"A" * 50_000_000)


def test_another_fleets_key_does_not_open_it(files: Files, payload: Payload, tmp_path: Path) -> None:
    other = make_files(tmp_path / "other")
    with pytest.raises(SealError, match="which this node does not have"):
        other.opener.open(files.sealer.seal(payload))


def test_a_node_cannot_forge_a_run(files: Files, payload: Payload, tmp_path: Path) -> None:
    """A node knows the fleet's key; what it signs itself is not believed by the others."""
    forger = make_files(tmp_path / "forger")
    forged = sealing.Sealer(forger.sealer.signing, files.sealer.fleet).seal(payload)
    with pytest.raises(SealError, match="signed with a key that is not trusted"):
        files.opener.open(forged)


def test_a_name_of_a_trusted_key_is_not_enough(files: Files, payload: Payload, tmp_path: Path) -> None:
    forger = make_files(tmp_path / "forger")
    trusted = files.sealer.signing.newest[0]
    signing = keys.Keyring(((trusted, forger.sealer.signing.newest[1]),))
    with pytest.raises(SealError, match="signature is wrong"):
        files.opener.open(sealing.Sealer(signing, files.sealer.fleet).seal(payload))


def test_an_envelope_cannot_be_sealed_anew_for_another_fleet(files: Files, payload: Payload, tmp_path: Path) -> None:
    """A node could pass a run on to a fleet that trusts the same server, but the signature names the fleet."""
    recipient, box = files.sealer.seal(payload).split(b".")[1:]
    private = files.opener.private.get(recipient.decode())
    inner = SealedBox(private).decrypt(base64.urlsafe_b64decode(box + b"=" * (-len(box) % 4)))
    other = make_files(tmp_path / "other")
    key, public = other.sealer.fleet.newest
    passed_on = b"rsw1." + key.encode() + b"." + base64.urlsafe_b64encode(SealedBox(public).encrypt(inner)).rstrip(b"=")
    victim = sealing.Opener(other.opener.private, files.opener.servers)
    with pytest.raises(SealError, match="signature is wrong"):
        victim.open(passed_on)


def test_rotation_of_the_fleets_key(files: Files, payload: Payload) -> None:
    under_way = files.sealer.seal(payload)
    newer = files.renew("seal")
    assert files.sealer.seal(payload).split(b".")[1] == newer.encode()
    assert files.opener.open(under_way) == files.opener.open(files.sealer.seal(payload)) == payload


def test_rotation_of_the_servers_key(files: Files, payload: Payload) -> None:
    under_way = files.sealer.seal(payload)
    files.renew("sign")
    assert files.opener.open(under_way) == files.opener.open(files.sealer.seal(payload)) == payload


def test_a_node_speaks_for_itself(files: Files, payload: Payload, tmp_path: Path) -> None:
    channel = sealing.NodeChannel.of_node(files.opener.private, files.opener.servers)
    envelope = channel.seal(b'{"state":"ready"}')
    assert b"ready" not in envelope
    opened = sealing.open_node_message(envelope, files.sealer.signing, files.sealer.fleet)
    assert opened == b'{"state":"ready"}'
    other = make_files(tmp_path / "other")
    with pytest.raises(SealError):
        sealing.open_node_message(envelope, other.sealer.signing, files.sealer.fleet)
    with pytest.raises(SealError):
        sealing.open_node_message(envelope, files.sealer.signing, other.sealer.fleet)
    with pytest.raises(SealError):
        sealing.open_node_message(b"rsn1" + files.sealer.seal(payload)[4:], files.sealer.signing, files.sealer.fleet)


def test_at_rest(files: Files) -> None:
    held = keys.load_seal_private(files.pair("seal")[0])
    sealed = sealing.seal_at_rest(b"password", held)
    assert b"password" not in sealed
    files.renew("seal")
    assert sealing.open_at_rest(sealed, keys.load_seal_private(files.pair("seal")[0])) == b"password"
    with pytest.raises(SealError, match="damaged"):
        sealing.open_at_rest(sealed[:-4], held)


def own_opener(files: Files, *private: PrivateKey) -> sealing.Opener:
    pairs = tuple((keys.key_id(bytes(key.public_key)), key) for key in private)
    return sealing.Opener(keys.Keyring(pairs), files.opener.servers)


def as_text(key: PrivateKey) -> str:
    return base64.b64encode(bytes(key.public_key)).decode()


def test_each_enrolled_node_opens_it_and_the_fleet_too(files: Files, payload: Payload) -> None:
    nodes = [PrivateKey.generate() for _ in range(3)]
    envelope = files.sealer.seal_bytes(payload.to_bytes(), map(as_text, nodes))
    assert envelope.startswith(b"rsw2.")
    assert all(own_opener(files, node).open(envelope) == payload for node in nodes)
    assert files.opener.open(envelope) == payload
    with pytest.raises(SealError, match="for 4 keys, none of which this node has"):
        own_opener(files, PrivateKey.generate()).open(envelope)


def test_where_only_nodes_count_the_fleets_key_opens_nothing(files: Files, payload: Payload) -> None:
    sealer = sealing.Sealer(files.sealer.signing, None)
    nodes = [PrivateKey.generate() for _ in range(2)]
    for recipients in (nodes, nodes[:1]):
        envelope = sealer.seal_bytes(payload.to_bytes(), map(as_text, recipients))
        assert own_opener(files, nodes[0]).open(envelope) == payload
        with pytest.raises(SealError):
            files.opener.open(envelope)
    with pytest.raises(KeyFileError, match="no node is enrolled"):
        sealer.seal_bytes(payload.to_bytes())


def test_a_node_cannot_pass_it_on_to_others(files: Files, payload: Payload) -> None:
    mine, other = PrivateKey.generate(), PrivateKey.generate()
    envelope = sealing.Sealer(files.sealer.signing, None).seal_bytes(payload.to_bytes(), [as_text(mine), as_text(mine)])
    assert own_opener(files, mine).open(envelope) == payload
    shared = files.sealer.seal_bytes(payload.to_bytes(), [as_text(mine)])
    magic, sealed, box = shared.split(b".")
    mine_id, other_id = (keys.key_id(bytes(key.public_key)) for key in (mine, other))
    parts = dict(pair.split("~") for pair in sealed.decode().split(","))
    content_key = SealedBox(mine).decrypt(base64.urlsafe_b64decode(parts[mine_id] + "=="))
    passed = base64.urlsafe_b64encode(SealedBox(other.public_key).encrypt(content_key)).rstrip(b"=")
    forged = b".".join((magic, sealed + b"," + other_id.encode() + b"~" + passed, box))
    with pytest.raises(SealError, match="the signature is wrong"):
        own_opener(files, other).open(forged)


@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_breaks_what_is_sealed_to_several(files: Files, payload: Payload, place: int, bit: int) -> None:
    node = PrivateKey.generate()
    envelope = bytearray(files.sealer.seal_bytes(payload.to_bytes(), [as_text(node)]))
    envelope[place % len(envelope)] ^= 1 << bit
    try:
        opened = own_opener(files, node).open(bytes(envelope))
    except PayloadError:
        return
    assert opened == payload  # the bit was in the part of the fleet's key, or stands for nothing
