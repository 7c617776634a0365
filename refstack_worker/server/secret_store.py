"""How the ledger keeps a run's passwords: sealed with the server's own key, and masked wherever text is kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey
from nacl.secret import SecretBox

from refstack_worker.contract import envelope, keys, strict_json
from refstack_worker.errors import SealError


class SecretStore:
    """Seals and opens with the key file of the server; the file is read when it is first needed."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    @cached_property
    def _keys(self) -> keys.Keyring[PrivateKey]:
        return keys.load_seal_private(self._key_file)

    def seal(self, conf: Mapping[str, Any]) -> str:
        """Return options as sealed text. :raises KeyFileError: unusable key file."""
        return envelope.seal_at_rest(strict_json.dumps(conf).encode("utf-8"), self._keys).decode("ascii")

    def open(self, sealed: str | None) -> dict[str, dict[str, Any]]:
        """Return the options in sealed text; none for None (wiped). :raises SealError: with another key."""
        if not sealed:
            return {}
        opened = envelope.open_at_rest(sealed.encode("ascii"), self._keys)
        found: dict[str, dict[str, Any]] = strict_json.loads(opened.decode("utf-8"), "stored options")
        return found


def seal_for(secret: str, values: Sequence[str]) -> str:
    """Return texts, sealed so that only who has this secret of an attempt can read them."""
    return base64.b64encode(_box(secret).encrypt(strict_json.dumps(list(values)).encode("utf-8"))).decode("ascii")


def open_with(secret: str, sealed: str) -> list[str]:
    """Return the texts that were sealed for a secret. :raises SealError: they were sealed for another."""
    try:
        opened = _box(secret).decrypt(base64.b64decode(sealed.encode("ascii"), validate=True))
    except (CryptoError, UnicodeEncodeError, binascii.Error, ValueError):
        raise SealError("sealed for another secret, or damaged") from None
    found: list[str] = strict_json.loads(opened.decode("utf-8"), "sealed secrets")
    return found


def _box(secret: str) -> SecretBox:
    # the attempt's secret is 32 random bytes, so that a hash makes a key of it
    return SecretBox(hashlib.sha256(b"refstack secrets of an attempt " + secret.encode("utf-8", "replace")).digest())
