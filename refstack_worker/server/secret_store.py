"""How the ledger keeps a run's passwords: sealed with the server's own key, and masked wherever text is kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey

from refstack_worker.contract import envelope, keys, strict_json


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
