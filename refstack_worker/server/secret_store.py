"""How the ledger keeps a run's passwords: sealed with the server's own key, and masked wherever text is kept."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape  # nosec B406 - writes XML, reads none

from nacl.public import PrivateKey

from refstack_worker.contract import envelope, keys, strict_json

SECRET_OPTION = re.compile(r"pass|secret|token|credential|(?:^|_)key(?:$|_)", re.IGNORECASE)
"""Names of options whose values are never shown."""
SHORTEST = 4
"""Characters of a value that is masked; shorter ones would blot out ordinary text."""
SHORT = 6
"""A secret of fewer letters and digits is masked only where it stands by itself: ``admin`` is part of much."""
MASK = "***"
_MASK = MASK.encode("ascii")


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


def secret_values(conf: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the values in options that must never be shown, the longest first."""
    found: set[str] = set()
    for values in conf.values():
        for option, value in values.items():
            if SECRET_OPTION.search(option):
                found.update(item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))
    return tuple(sorted((text for text in found if len(text) >= SHORTEST), key=len, reverse=True))


class Masker:
    """Blots out secrets, in every spelling that logs know."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted(set(secrets), key=len, reverse=True)
        self._all = _Pattern(known)
        # test names are made of words: with a password such as "secret" they would no longer be the guideline's
        self._in_names = _Pattern([secret for secret in known if not _is_word(secret)])

    def __bool__(self) -> bool:
        return bool(self._all.spellings)

    def text(self, text: str) -> str:
        """Return text without the secrets."""
        return self._all.text(text)

    def name(self, name: str) -> str:
        """Return a test's name without the secrets; those that are nothing but letters stay in it."""
        return self._in_names.text(name)

    def value(self, value: Any) -> Any:
        """Return a JSON value with its texts masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self.value(item) for name, item in value.items()}
        return value

    def split(self, data: bytes, is_last: bool = False) -> tuple[bytes, bytes]:
        """Return masked bytes, and the bytes at the end with which a secret may begin that goes on in the next piece.

        :param is_last: no next piece will come.
        """
        return self._all.split(data, is_last)


class _Pattern:
    """Finds some secrets in bytes."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.spellings = sorted({one for secret in secrets for one in _spellings(secret)}, key=len, reverse=True)

    # only when they are needed: most messages hold no secret, and are no piece of a stream
    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"|".join(map(_expression, self.spellings)))

    @cached_property
    def _beginnings(self) -> set[bytes]:
        return {one[:end] for one in self.spellings for end in range(1, len(one))}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._beginnings), default=0)

    def text(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        return text if not self._has(data) else self._pattern.sub(_MASK, data).decode("utf-8", "surrogatepass")

    def split(self, data: bytes, is_last: bool) -> tuple[bytes, bytes]:
        cut = len(data) - (0 if is_last else self._open(data))
        if not self._has(data):
            return data[:cut], data[cut:]
        for found in self._pattern.finditer(data):
            if found.start() < cut < found.end():
                cut = found.end()
        return self._pattern.sub(_MASK, data[:cut]), data[cut:]

    def _has(self, data: bytes) -> bool:
        # much quicker than the expression, and nearly always all that is needed
        return any(one in data for one in self.spellings)

    def _open(self, data: bytes) -> int:
        for size in range(min(self._longest, len(data)), 0, -1):
            if data[-size:] in self._beginnings:
                return size
        return 0


def _spellings(secret: str) -> set[bytes]:
    plain = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        escape(secret),
        # as oslo.config writes it
        secret.replace("$", "$$"),
    }
    data = secret.encode("utf-8", "surrogatepass")
    return {one.encode("utf-8", "surrogatepass") for one in plain} | {base64.b64encode(data)}


def _expression(secret: bytes) -> bytes:
    if len(secret) < SHORT and secret.isalnum():
        return rb"(?<![A-Za-z0-9])" + re.escape(secret) + rb"(?![A-Za-z0-9])"
    return re.escape(secret)


def _is_word(secret: str) -> bool:
    return secret.replace("_", "").isalpha()
