"""Reads OpenPGP public keys and computes their fingerprints (RFC 9580, 5.5.4) without external programs.

A key file may hold several certificates. Each is split into its packets and written again from them, so that no other
program can find a key in the result that this module did not see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from refstack_install.errors import AnswersError

SIGNATURE, SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY, USER_ID, PUBLIC_SUBKEY, USER_ATTRIBUTE = 2, 5, 6, 7, 13, 14, 17
_PARTS = (SIGNATURE, USER_ID, PUBLIC_SUBKEY, USER_ATTRIBUTE)
"""Packets that belong to the primary key before them. Others (trust, marker, padding, private use) are dropped."""
_LENGTH_UNKNOWN = 3
"""Length type of an old packet header: the packet extends to the end of the file."""
_PARTIAL_LENGTHS = range(224, 255)
_CRC_START = 0xB704CE
_CRC_POLYNOMIAL = 0x1864CFB
_BEGIN, _END = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class Certificate:
    """A primary key with its user IDs, subkeys and signatures."""

    fingerprint: str
    """Of the primary key, upper-case hex."""
    content: bytes
    """Its packets in binary form."""


def certificates(key: bytes) -> list[Certificate]:
    """Return the certificates of a key file, binary or armored. :raises AnswersError: it is not a public key file."""
    result: list[Certificate] = []
    for packets in _groups(_packets(_binary(key))):
        fingerprint = _fingerprint(packets[0][1])
        if fingerprint:
            is_v6 = packets[0][1][0] == 6
            result.append(Certificate(fingerprint, b"".join(_packet(tag, body, is_v6) for tag, body in packets)))
    if not result:
        raise AnswersError("repository.key contains no public key", todo="use the repository's own key file")
    return result


def fingerprints(key: bytes) -> list[str]:
    """Return the fingerprints of the primary keys in a key file. :raises AnswersError: it is not a public key file."""
    return [certificate.fingerprint for certificate in certificates(key)]


def only_pinned(key: bytes, pins: Sequence[str]) -> bytes:
    """Return the pinned certificates of a key file in binary form; without pins all of them.

    :raises AnswersError: it is not a public key file, or has none of the pinned keys.
    """
    present = certificates(key)
    pinned = [certificate for certificate in present if not pins or certificate.fingerprint in pins]
    if not pinned:
        raise AnswersError(
            f"the key is {', '.join(certificate.fingerprint for certificate in present)}, not {' or '.join(pins)}",
            "repository.fingerprint does not match",
            "compare it with the fingerprint that the repository's owner publishes",
        )
    return b"".join(certificate.content for certificate in pinned)


def armor(key: bytes) -> bytes:
    """Return a key file in text form, one block for each certificate: RPM reads only the first one of a block."""
    return b"".join(_block(certificate.content) for certificate in certificates(key))


def _binary(key: bytes) -> bytes:
    if key[:1] and key[0] & 0x80:
        return key
    blocks = re.findall(re.escape(_BEGIN) + rb"\r?\n(.*?)" + re.escape(_END), key, re.S)
    if not blocks:
        raise AnswersError("repository.key is not an OpenPGP public key", todo="use the repository's own key file")
    return b"".join(_unblock(block) for block in blocks)


def _unblock(block: bytes) -> bytes:
    _, _, body = block.replace(b"\r\n", b"\n").partition(b"\n\n") if b":" in block else (b"", b"", block)
    lines = [line for line in body.split(b"\n") if line and not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        raise _damaged() from None


def _block(content: bytes) -> bytes:
    text = base64.b64encode(content)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    checksum = b"=" + base64.b64encode(_crc24(content).to_bytes(3, "big"))
    return b"\n".join([_BEGIN, b"", *lines, checksum, _END, b""])


def _groups(packets: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield each primary key with the packets that belong to it."""
    group: list[tuple[int, bytes]] = []
    for tag, body in packets:
        if tag in (SECRET_KEY, SECRET_SUBKEY):
            raise AnswersError("repository.key contains a private key", todo="use the repository's public key file")
        if tag == PUBLIC_KEY:
            if group:
                yield group
            group = [(tag, body)]
        elif group and tag in _PARTS:
            group.append((tag, body))
    if group:
        yield group


def _fingerprint(body: bytes) -> str:
    """Return the fingerprint of a primary key; empty for a version that is not supported."""
    if body[:1] == b"\x04" and len(body) < 1 << 16:
        packet = b"\x99" + len(body).to_bytes(2, "big") + body
        return hashlib.sha1(packet).hexdigest().upper()  # noqa: S324 - the standard's fingerprint
    if body[:1] == b"\x06":
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    return ""


def _packet(tag: int, body: bytes, is_v6: bool) -> bytes:
    length = len(body)
    if tag > 15 or is_v6:
        return bytes([0xC0 | tag, 255]) + length.to_bytes(4, "big") + body
    size = next(size for size in (0, 1, 2) if length < 1 << (8 << size))
    return bytes([0x80 | tag << 2 | size]) + length.to_bytes(1 << size, "big") + body


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if not data[at] & 0x80:
            raise _damaged()
        tag, length, at = _new_header(data, at) if data[at] & 0x40 else _old_header(data, at)
        if at + length > len(data):
            raise AnswersError("repository.key is incomplete", todo="fetch the key file again")
        yield tag, data[at : at + length]
        at += length


def _old_header(data: bytes, at: int) -> tuple[int, int, int]:
    tag, length_type = (data[at] >> 2) & 15, data[at] & 3
    if length_type == _LENGTH_UNKNOWN:
        raise _damaged()
    size = 1 << length_type
    return tag, int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def _new_header(data: bytes, at: int) -> tuple[int, int, int]:
    tag, first = data[at] & 63, int.from_bytes(data[at + 1 : at + 2], "big")
    if first in _PARTIAL_LENGTHS:
        raise _damaged()
    if first < 192:
        return tag, first, at + 2
    if first < 224:
        return tag, ((first - 192) << 8) + int.from_bytes(data[at + 2 : at + 3], "big") + 192, at + 3
    return tag, int.from_bytes(data[at + 2 : at + 6], "big"), at + 6


def _damaged() -> AnswersError:
    return AnswersError("repository.key is damaged", todo="fetch the key file again")


def _crc24(data: bytes) -> int:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc & 0xFFFFFF
