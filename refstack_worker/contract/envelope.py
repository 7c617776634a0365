"""The envelope of a payload: signed by the server, then sealed to the fleet.

gearmand does not authenticate, and writes its queue to disk. So a stranger who takes a job can read nothing; a node can
open payloads but forge none. The signature also covers the recipient, so an envelope cannot be sealed again for
another fleet. Ed25519, X25519 and the sealed box come from libsodium (PyNaCl).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey
from nacl.utils import random

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.keys import Keyring, key_id
from refstack_worker.contract.payload_identity import read_identity
from refstack_worker.errors import KeyFileError, PayloadError, SealError

MAX_BYTES = 2 * payloads.MAX_BYTES
"""Size limit of an envelope, checked before anything is decoded."""

_FORM = re.compile(rb"(?P<magic>rs[wnr]1)\.(?P<key>[0-9a-f]{16})\.(?P<box>[A-Za-z0-9_-]+)\Z")
_SHARED_FORM = re.compile(
    rb"rsw2\.(?P<keys>[0-9a-f]{16}~[A-Za-z0-9_-]+(?:,[0-9a-f]{16}~[A-Za-z0-9_-]+)*)\.(?P<box>[A-Za-z0-9_-]+)\Z"
)
_PAYLOAD = "rsw1"
_SHARED = "rsw2"
"""To several keys: a fresh key for the message, sealed to each of them."""
_NODE = "rsn1"
_REST = "rsr1"
_ID_LENGTH = 16
_SIGNATURE_LENGTH = 64
_CONTEXT = b"refstack payload 1\0"
_BROKEN = "payload: the seal is broken: damaged or tampered with in transit"


def digest(envelope: bytes) -> str:
    """Return the hex SHA-256 by which the server knows an envelope that it sealed."""
    return hashlib.sha256(envelope).hexdigest()


@dataclass(frozen=True)
class Sealer:
    """The server's side: signs with its newest key, seals to the fleet's newest."""

    signing: Keyring[SigningKey]
    fleet: Keyring[PublicKey] | None
    """None: only the keys of single nodes count."""

    def seal(self, payload: payloads.Payload, nodes: Iterable[str] = ()) -> bytes:
        """Return the envelope of a payload; the rest as :meth:`seal_bytes`.

        :raises PayloadError: the payload is not valid.
        """
        return self.seal_bytes(payload.to_bytes(), nodes)

    def seal_bytes(self, message: bytes, nodes: Iterable[str] = ()) -> bytes:
        """Return the envelope of a payload that was checked before; see :meth:`Payload.serialized`.

        :param nodes: public keys (base64) of the nodes that are enrolled.
        :raises KeyFileError: there is no key to seal to.
        """
        recipients = {} if self.fleet is None else dict([self.fleet.newest])
        for text in nodes:
            raw = base64.b64decode(text)
            recipients[key_id(raw)] = PublicKey(raw)
        if not recipients:
            raise KeyFileError("no node is enrolled, and SEAL_TO says that only enrolled nodes get runs")
        if len(recipients) == 1:
            ((recipient, public),) = recipients.items()
            return _envelope(_PAYLOAD, recipient, SealedBox(public).encrypt(self._signed(recipient, message)))
        return self._shared(recipients, message)

    def _shared(self, recipients: Mapping[str, PublicKey], message: bytes) -> bytes:
        content_key = random(SecretBox.KEY_SIZE)
        sealed = (f"{name}~{_text(SealedBox(public).encrypt(content_key))}" for name, public in recipients.items())
        box = bytes(SecretBox(content_key).encrypt(self._signed(_together(recipients), message)))
        return f"{_SHARED}.{','.join(sealed)}.{_text(box)}".encode("ascii")

    def _signed(self, recipient: str, message: bytes) -> bytes:
        sender, signing = self.signing.newest
        return sender.encode("ascii") + signing.sign(_signed_text(recipient, message)).signature + message


@dataclass(frozen=True)
class Opener:
    """The node's side: opens with any of its keys, believes any server key that it was given."""

    private: Keyring[PrivateKey]
    servers: Keyring[VerifyKey]

    def open(self, envelope: bytes) -> payloads.Payload:
        """Return the payload in an envelope.

        :raises SealError: not an envelope, for another key, tampered with, or not signed by a trusted key.
        :raises PayloadError: it opens, but does not contain a valid payload.
        """
        return payloads.Payload.from_bytes(self._message(envelope))

    def open_identity(self, envelope: bytes) -> payloads.Payload:
        """Return what names the attempt in an envelope whose payload :meth:`open` refused. Raises as that does."""
        return read_identity(self._message(envelope))

    def _message(self, envelope: bytes) -> bytes:
        if envelope.startswith(_SHARED.encode("ascii")):
            return self._shared_message(envelope)
        recipient, box = _parts(envelope, _PAYLOAD)
        private = self.private.get(recipient)
        if private is None:
            raise SealError(
                f"payload: sealed for the key {recipient}, which this node does not have; copy the fleet's "
                "current key to the node, or enrol it"
            )
        try:
            inner = SealedBox(private).decrypt(box)
        except CryptoError:
            raise SealError(_BROKEN) from None
        return self._verified(recipient, inner)

    def _shared_message(self, envelope: bytes) -> bytes:
        """Return the message that was sealed to several keys, one of which is this node's."""
        if len(envelope) > MAX_BYTES:
            raise PayloadError(f"payload: {len(envelope)} bytes, more than the {MAX_BYTES} that are allowed")
        found = _SHARED_FORM.match(envelope)
        if found is None:
            raise SealError("payload: not a sealed payload; only the RefStack server can make one")
        sealed = dict(pair.split("~") for pair in found["keys"].decode("ascii").split(","))
        mine = next(((self.private.get(name), sealed[name]) for name in sealed if self.private.get(name)), None)
        if mine is None or mine[0] is None:
            raise SealError(
                f"payload: sealed for {len(sealed)} keys, none of which this node has: it enrolled later, or its key "
                "was revoked; see 'refstack-queue worker keys'"
            )
        try:
            content_key = SealedBox(mine[0]).decrypt(_bytes(mine[1]))
            inner = SecretBox(content_key).decrypt(_bytes(found["box"].decode("ascii")))
        except (CryptoError, ValueError, binascii.Error):
            raise SealError(_BROKEN) from None
        return self._verified(_together(sealed), inner)

    def _verified(self, recipient: str, inner: bytes) -> bytes:
        sender = inner[:_ID_LENGTH].decode("ascii", "replace")
        signature = inner[_ID_LENGTH : _ID_LENGTH + _SIGNATURE_LENGTH]
        message = inner[_ID_LENGTH + _SIGNATURE_LENGTH :]
        key = self.servers.get(sender)
        if key is None:
            raise SealError(
                f"payload: signed with a key that is not trusted here ({sender!r}); "
                "add the server's public key to the node if it is yours"
            )
        try:
            key.verify(_signed_text(recipient, message), signature)
        except (CryptoError, ValueError):
            raise SealError("payload: the signature is wrong") from None
        return message


@dataclass(frozen=True)
class NodeChannel:
    """How a node speaks for itself, outside any run: a box between the fleet's key and the server's.

    Both sides have the keys already for the payloads; the server's X25519 key is the one that belongs to its Ed25519
    key.
    """

    key: str
    """Id of the fleet key in use; it travels with the message."""
    server_key: str
    box: Box

    @classmethod
    def of_node(cls, private: Keyring[PrivateKey], servers: Keyring[VerifyKey]) -> NodeChannel:
        fleet_id, mine = private.newest
        server_id, server = servers.newest
        return cls(fleet_id, server_id, Box(mine, server.to_curve25519_public_key()))

    @classmethod
    def all_of_node(cls, private: Keyring[PrivateKey], servers: Keyring[VerifyKey]) -> list[NodeChannel]:
        """Return a channel for each pair of keys, the newest first; while keys rotate, the server may lack those."""
        pairs = itertools.product(private.keys, servers.keys)
        return [cls(mine[0], server[0], Box(mine[1], server[1].to_curve25519_public_key())) for mine, server in pairs]

    def seal(self, message: bytes) -> bytes:
        """Return a message that only the server reads and only a node can have written."""
        return _envelope(_NODE, self.key, self.server_key.encode("ascii") + bytes(self.box.encrypt(message)))


def sender_of(envelope: bytes) -> str:
    """Return the id of the key that a node claims to have written a message with. :raises SealError: it is none."""
    return _parts(envelope, _NODE)[0]


def open_node_message(envelope: bytes, signing: Keyring[SigningKey], nodes: Keyring[PublicKey]) -> bytes:
    """Return what a node wrote with :class:`NodeChannel`.

    :param nodes: the keys that nodes may write with: the fleet's, or a node's own.
    :raises SealError: it was not written by a node of this fleet for this server.
    """
    sender, content = _parts(envelope, _NODE)
    server = signing.get(content[:_ID_LENGTH].decode("ascii", "replace"))
    node = nodes.get(sender)
    if server is None or node is None:
        raise SealError("node message: sealed for a key that this server does not have; renew the node's keys")
    try:
        return bytes(Box(server.to_curve25519_private_key(), node).decrypt(content[_ID_LENGTH:]))
    except (CryptoError, ValueError):
        raise SealError("node message: the seal is broken") from None


def seal_at_rest(data: bytes, keys: Keyring[PrivateKey]) -> bytes:
    """Return bytes that only a holder of these keys can read again: how the server keeps a run's secrets."""
    key, private = keys.newest
    return _envelope(_REST, key, SealedBox(private.public_key).encrypt(data))


def open_at_rest(envelope: bytes, keys: Keyring[PrivateKey]) -> bytes:
    """Return what :func:`seal_at_rest` sealed. :raises SealError: with another key, or damaged."""
    key, box = _parts(envelope, _REST)
    private = keys.get(key)
    if private is None:
        raise SealError(f"stored secret: sealed with the key {key}, which is no longer in the server's key file")
    try:
        return SealedBox(private).decrypt(box)
    except CryptoError:
        raise SealError("stored secret: damaged") from None


def _signed_text(recipient: str, message: bytes) -> bytes:
    return _CONTEXT + recipient.encode("ascii") + b"\0" + message


def _together(recipients: Iterable[str]) -> str:
    """Return what represents several recipients in a signature, so that an envelope cannot be re-sealed for others."""
    return hashlib.sha256(",".join(sorted(recipients)).encode("ascii")).hexdigest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _envelope(magic: str, key: str, box: bytes) -> bytes:
    return b".".join((magic.encode("ascii"), key.encode("ascii"), base64.urlsafe_b64encode(box).rstrip(b"=")))


def _parts(envelope: bytes, magic: str) -> tuple[str, bytes]:
    if len(envelope) > MAX_BYTES:
        raise PayloadError(f"payload: {len(envelope)} bytes, more than the {MAX_BYTES} that are allowed")
    found = _FORM.match(envelope)
    if found is None or found["magic"].decode() != magic:
        raise SealError("payload: not a sealed payload; only the RefStack server can make one")
    try:
        box = base64.urlsafe_b64decode(found["box"] + b"=" * (-len(found["box"]) % 4))
    except binascii.Error:
        raise SealError("payload: the seal is cut off or damaged") from None
    return found["key"].decode("ascii"), box
