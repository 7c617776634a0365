"""Upload of a result to a RefStack server's ``v1/results``, signed as refstack-client does.

Only the tests that passed are sent, with their names and idempotent ids. The signature is RSA, PKCS#1 v1.5 with
SHA-256,
over the bytes of the body; the key decides under whose name the result appears there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from refstack_worker.errors import KeyFileError, RefusedError, ResultError, ServerError
from refstack_worker.server.domain.results import TestResult

SECONDS = (10.0, 60.0)
"""For the connection and for the answer."""
LEAST_BITS = 2048
_CPID = re.compile(r"[0-9A-Za-z_-]{1,128}\Z")


@dataclass(frozen=True)
class Signed:
    """A body and what proves whose it is."""

    body: bytes
    signature: str
    """Hex."""
    public_key: str
    """OpenSSH's form."""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "X-Signature": self.signature,
            "X-Public-Key": self.public_key,
        }


def body(cpid: str, seconds: float, tests: Iterable[TestResult]) -> bytes:
    """Return what ``POST v1/results`` takes.

    :param cpid: id of the cloud: of the identity service in its catalogue, or :func:`cpid_of` its address.
    :param seconds: duration of the run.
    :raises ResultError: no test passed, so that there is nothing to upload, or the cpid is none.
    """
    if not _CPID.match(cpid):
        raise ResultError(f"upload: {cpid[:40]!r} is no id of a cloud")
    passed = {test.name: test for test in tests if test.status == "passed"}
    if not passed:
        raise ResultError("upload: no test passed, and a RefStack server takes passed tests only")
    results = [{"name": name, "uuid": test.uuid} if test.uuid else {"name": name} for name, test in passed.items()]
    whole: Mapping[str, Any] = {"cpid": cpid, "duration_seconds": round(seconds), "results": results}
    return json.dumps(whole).encode("utf-8")


def sign(data: bytes, key_file: Path) -> Signed:
    """Sign a body. :raises KeyFileError: the file holds no RSA key of 2048 bits or more without a passphrase."""
    key = _key(key_file)
    signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return Signed(data, signature.hex(), public.decode("ascii"))


def send(server: str, signed: Signed) -> dict[str, Any]:
    """Post a signed body and return the server's answer, ``test_id`` and ``url``.

    :raises RefusedError: the server does not take it.
    :raises ServerError: it cannot be reached or answers nonsense.
    """
    url = f"{server.rstrip('/')}/v1/results/"
    try:
        answer = requests.post(url, signed.body, headers=signed.headers, timeout=SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise ServerError(f"{url}: cannot be reached: {type(error).__name__}; is the address right?") from error
    if 400 <= answer.status_code < 500:
        raise RefusedError(f"{url}: refuses the result ({answer.status_code}): {answer.text[:300]}")
    try:
        said = answer.json()
        if answer.status_code != 201:
            raise ValueError
        return {"test_id": str(said["test_id"]), "url": str(said.get("url", ""))}
    except (ValueError, KeyError, TypeError):
        raise ServerError(f"{url}: answers {answer.status_code} and no id of a result; is it a RefStack?") from None


def _key(path: Path) -> rsa.RSAPrivateKey:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    openssh = b"OPENSSH PRIVATE KEY" in data
    load: Any = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        key = load(data, password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: no private key without a passphrase: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < LEAST_BITS:
        raise KeyFileError(f"{path}: an RSA key of at least {LEAST_BITS} bits is needed (ssh-keygen -t rsa -m PEM)")
    return key
