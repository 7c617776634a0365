"""The RSA key under which someone uploads results to RefStack, and what it signs.

RefStack knows a person by registered public keys: RSA, PKCS#1 v1.5 with SHA-256, the public half in OpenSSH's form.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import KeyFileError, SignatureError

MIN_BITS = 2048
MAX_BYTES = 8000
"""Limit for a key file; a key of 8192 bits has 6400."""
PROOF = b"signature"
"""What RefStack wants signed when a key is registered."""


_CAN_SKIP = "unsafe_skip_rsa_key_validation" in inspect.signature(serialization.load_pem_private_key).parameters


@dataclass(frozen=True)
class UploadKey:
    private: rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> UploadKey:
        """Return the key in a file. :raises KeyFileError: it is not a key that RefStack takes."""
        try:
            return cls.parse(read_limited(path, MAX_BYTES), str(path))
        except OSError as error:
            raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error

    @classmethod
    def parse(cls, data: bytes, what: str, is_checked: bool = False) -> UploadKey:
        """Return the key in a file's bytes.

        :param is_checked: it was read before, and its primes need not be proved again, which may take seconds.
        :raises KeyFileError: as :meth:`read`.
        """
        if len(data) > MAX_BYTES:
            raise KeyFileError(f"{what}: larger than {MAX_BYTES} bytes; a key of 2048 to 8192 bits is needed")
        openssh = b"OPENSSH PRIVATE KEY" in data
        load: Any = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
        # older libraries prove the primes each time, outside of Python's lock
        skips = {"unsafe_skip_rsa_key_validation": True} if is_checked and not openssh and _CAN_SKIP else {}
        try:
            key = load(data, password=None, **skips)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFileError(f"{what}: cannot be used as a private key without a passphrase: {error}") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < MIN_BITS:
            raise KeyFileError(f"{what}: an RSA key of at least {MIN_BITS} bits is needed (ssh-keygen -t rsa -m PEM)")
        return cls(key)

    @property
    def public(self) -> str:
        """The public half in OpenSSH's form."""
        half = self.private.public_key()
        return half.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode("ascii")

    @property
    def pem(self) -> str:
        """The private key, to be kept sealed."""
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.private.private_bytes(*form).decode("ascii")

    def sign(self, data: bytes) -> str:
        """Return the signature of bytes, hex."""
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256()).hex()

    def web_token(self, claims: Mapping[str, Any]) -> str:
        """Return a JSON Web Token (RS256), by which RefStack lets the owner of a result change it."""
        head = {"alg": "RS256", "typ": "JWT"}
        text = ".".join(_base64url(json.dumps(part).encode("utf-8")) for part in (head, claims))
        signature = self.private.sign(text.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_base64url(signature)}"


def verify(public: str, data: bytes, signature: str) -> None:
    """Check a signature that was made elsewhere.

    :param public: in OpenSSH's form.
    :param signature: hex.
    :raises SignatureError: it is not the signature of these bytes by this key.
    """
    try:
        key = serialization.load_ssh_public_key(public.strip().encode("utf-8"))
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureError("the public key is not in OpenSSH format (ssh-rsa …)") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise SignatureError("the public key is not an RSA key")
    try:
        key.verify(bytes.fromhex(signature.strip()), data, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise SignatureError(
            "the signature does not match this key and this request (RSA, PKCS#1 v1.5, SHA-256)"
        ) from None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
