"""Reads OpenPGP public keys and computes their fingerprints (RFC 9580, 5.5.4) without external programs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

from refstack_install.errors import AnswersError

PUBLIC_KEY = 6
_CRC_START = 0xB704CE
_CRC_POLYNOMIAL = 0x1864CFB


def dearmor(key: bytes) -> bytes:
    """Return a key's binary form, whichever form it comes in. :raises AnswersError: it is no public key."""
    if key[:1] and key[0] & 0x80:
        return key
    blocks = re.findall(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", key, re.S)
    if not blocks:
        raise AnswersError("repository.key is no OpenPGP public key", todo="name the repository's own key file")
    return b"".join(_block(block) for block in blocks)


def armor(key: bytes) -> bytes:
    """Return a key's text form, which RPM wants."""
    text = base64.b64encode(key)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    crc = base64.b64encode(_crc24(key).to_bytes(3, "big"))
    head, tail = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"
    return b"\n".join([head, b"", *lines, b"=" + crc, tail, b""])


def fingerprints(key: bytes) -> list[str]:
    """Return the fingerprints (upper-case hex) of the primary keys in a binary key file."""
    found = []
    for tag, body in _packets(key):
        if tag == PUBLIC_KEY and body[:1] == b"\x04":
            packet = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(packet).hexdigest().upper())  # noqa: S324 - the standard's fingerprint
        elif tag == PUBLIC_KEY and body[:1] == b"\x06":
            found.append(hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper())
    if not found:
        raise AnswersError("repository.key holds no public key", todo="name the repository's own key file")
    return found


def _block(block: bytes) -> bytes:
    _, _, body = block.replace(b"\r\n", b"\n").partition(b"\n\n") if b":" in block else (b"", b"", block)
    lines = [line for line in body.split(b"\n") if line and not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        raise AnswersError("repository.key is damaged", todo="fetch the key file again") from None


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            raise AnswersError("repository.key is damaged", todo="fetch the key file again")
        tag, length, at = _new_header(data, at) if first & 0x40 else _old_header(data, at)
        if at + length > len(data):
            raise AnswersError("repository.key is cut off", todo="fetch the key file again")
        yield tag, data[at : at + length]
        at += length


def _old_header(data: bytes, at: int) -> tuple[int, int, int]:
    first = data[at]
    size = 1 << (first & 3)
    if size == 8:
        return (first >> 2) & 15, len(data) - at - 1, at + 1
    return (first >> 2) & 15, int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def _new_header(data: bytes, at: int) -> tuple[int, int, int]:
    tag, one = data[at] & 63, int.from_bytes(data[at + 1 : at + 2], "big")
    if one < 192:
        return tag, one, at + 2
    if one < 224:
        return tag, ((one - 192) << 8) + int.from_bytes(data[at + 2 : at + 3], "big") + 192, at + 3
    return tag, int.from_bytes(data[at + 2 : at + 6], "big"), at + 6


def _crc24(data: bytes) -> int:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc & 0xFFFFFF
