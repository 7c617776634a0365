"""Key files: one key a line, newest first, so that rotation is adding a line and later removing one.

A line is ``<kind> <base64>``; blank lines and lines that begin with ``#`` are left alone. Private keys must not be
readable by group or others.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey

from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import KeyFileError

Key = TypeVar("Key", PrivateKey, PublicKey, SigningKey, VerifyKey)

SEAL_PRIVATE = "refstack-seal-private"
SEAL_PUBLIC = "refstack-seal-public"
SIGN_PRIVATE = "refstack-sign-private"
SIGN_PUBLIC = "refstack-sign-public"
_PRIVATE_KINDS = (SEAL_PRIVATE, SIGN_PRIVATE)
_KEY_BYTES = 32


@dataclass(frozen=True)
class Keyring(Generic[Key]):
    """Keys of one kind by id, the newest first."""

    keys: tuple[tuple[str, Key], ...]

    @property
    def newest(self) -> tuple[str, Key]:
        """The id and the key that new things are made with."""
        return self.keys[0]

    def get(self, key_id: str) -> Key | None:
        """Return the key of this id, or None."""
        return dict(self.keys).get(key_id)


def key_id(public: bytes) -> str:
    """Return the id of a key pair: the first 16 hex digits of the SHA-256 of its public half."""
    return hashlib.sha256(public).hexdigest()[:16]


def load_seal_private(path: Path) -> Keyring[PrivateKey]:
    """Return the keys that open envelopes. :raises KeyFileError: unusable file."""
    return _load(path, SEAL_PRIVATE, PrivateKey, lambda key: bytes(key.public_key))


def load_seal_public(path: Path) -> Keyring[PublicKey]:
    """Return the keys that envelopes are sealed to. :raises KeyFileError: unusable file."""
    return _load(path, SEAL_PUBLIC, PublicKey, bytes)


def load_sign_private(path: Path) -> Keyring[SigningKey]:
    """Return the keys that sign payloads. :raises KeyFileError: unusable file."""
    return _load(path, SIGN_PRIVATE, SigningKey, lambda key: bytes(key.verify_key))


def load_sign_public(path: Path) -> Keyring[VerifyKey]:
    """Return the keys whose signatures are trusted. :raises KeyFileError: unusable file."""
    return _load(path, SIGN_PUBLIC, VerifyKey, bytes)


def generate_pair(kind: str, private: Path, public: Path) -> str:
    """Make a key pair (``seal`` or ``sign``) and put it first into the two files, keeping the keys that stand there.

    :returns: the id of the new pair.
    """
    made = PrivateKey.generate() if kind == "seal" else SigningKey.generate()
    half = made.public_key if isinstance(made, PrivateKey) else made.verify_key
    _prepend(private, f"refstack-{kind}-private {base64.b64encode(bytes(made)).decode()}", 0o600)
    _prepend(public, f"refstack-{kind}-public {base64.b64encode(bytes(half)).decode()}", 0o644)
    return key_id(bytes(half))


def restore_public(kind: str, private: Path, public: Path) -> str:
    """Write the public halves of the keys in a file of private ones (``seal`` or ``sign``); return the newest id.

    :raises KeyFileError: unusable file.
    """
    if kind == "sign":
        halves = [bytes(key.verify_key) for _, key in load_sign_private(private).keys]
    else:
        halves = [bytes(key.public_key) for _, key in load_seal_private(private).keys]
    _prepend(public, "\n".join(public_line(f"refstack-{kind}-public", half) for half in halves), 0o644)
    return key_id(halves[0])


def public_line(kind: str, raw: bytes) -> str:
    """Return a key as a line of a key file."""
    return f"{kind} {base64.b64encode(raw).decode('ascii')}"


def _load(path: Path, kind: str, make: Callable[[bytes], Key], public: Callable[[Key], bytes]) -> Keyring[Key]:
    found = [make(raw) for raw in _read(path, kind)]
    return Keyring(tuple((key_id(public(key)), key) for key in found))


def _read(path: Path, kind: str) -> Sequence[bytes]:
    try:
        if kind in _PRIVATE_KINDS:
            _check_private(path)
        lines = read_limited(path).decode("ascii").splitlines()
    except OSError as error:
        todo = "make the keys with 'refstack-queue keys generate' or copy them here"
        if isinstance(error, PermissionError):
            todo = "run this as root or as the owner of the file"
        raise KeyFileError(f"{path}: {error.strerror}; {todo}") from error
    except UnicodeDecodeError:
        raise KeyFileError(f"{path}: not a key file (not ASCII)") from None
    found = [
        parse_line(path, number, line, kind)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise KeyFileError(f"{path}: contains no key; it should have one line '{kind} <base64>'")
    return found


def parse_line(path: Path, number: int, line: str, kind: str) -> bytes:
    """Return the key in a line of a key file. :raises KeyFileError: it is not of that kind."""
    words = line.split()
    if not words or words[0] != kind:
        raise KeyFileError(f"{path}:{number}: a line '{kind} <base64>' is expected here")
    try:
        raw = base64.b64decode(words[1] if len(words) > 1 else "", validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise KeyFileError(f"{path}:{number}: the key is not {_KEY_BYTES} bytes of base64")
    return raw


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    # a credential of systemd's is root's, and its service's by an access list, which shows in the group's bits
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    is_credential = bool(given) and Path(str(given)) in path.parents
    if mode & (0o007 if is_credential else 0o077):
        raise KeyFileError(f"{path}: others can read it (mode {mode:04o}); run 'chmod 600 {path}'")


def _prepend(path: Path, line: str, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        line += "\n" + path.read_text("ascii").rstrip("\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="ascii") as out:
        out.write(line + "\n")
        out.flush()
        os.fsync(descriptor)
    fresh.replace(path)
