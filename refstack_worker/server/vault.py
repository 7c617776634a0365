"""How the ledger keeps a run's passwords: sealed with the server's own key, and masked wherever text is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey

from refstack_worker.contract import jsontext, keys, sealing

SECRET_OPTION = re.compile(r"pass|secret|token|credential|(?:^|_)key(?:$|_)", re.IGNORECASE)
"""Names of options whose values are never shown."""
SHORTEST = 4
"""Characters of a value that is masked; shorter ones would blot out ordinary text."""
MASK = "***"


class Vault:
    """Seals and opens with the key file of the server; the file is read when it is first needed."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    @cached_property
    def _keys(self) -> keys.Keyring[PrivateKey]:
        return keys.load_seal_private(self._key_file)

    def seal(self, conf: Mapping[str, Any]) -> str:
        """Return options as sealed text. :raises KeyFileError: unusable key file."""
        return sealing.seal_at_rest(jsontext.dumps(conf).encode("utf-8"), self._keys).decode("ascii")

    def open(self, sealed: str | None) -> dict[str, dict[str, Any]]:
        """Return the options in sealed text; none for None (wiped). :raises SealError: with another key."""
        if not sealed:
            return {}
        opened = sealing.open_at_rest(sealed.encode("ascii"), self._keys)
        found: dict[str, dict[str, Any]] = jsontext.loads(opened.decode("utf-8"), "stored options")
        return found


def secret_values(conf: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the values in options that must never be shown, the longest first."""
    found: set[str] = set()
    for values in conf.values():
        for option, value in values.items():
            if SECRET_OPTION.search(option):
                found.update(item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))
    return tuple(sorted((text for text in found if len(text) >= SHORTEST), key=len, reverse=True))


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return text with these values blotted out."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
