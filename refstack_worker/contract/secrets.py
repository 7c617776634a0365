"""What counts as a secret, and how secrets are kept out of logs, messages and results.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus, unquote

_SECRET_OPTION = re.compile(r"pass|pwd|secret|token|credential|private|(?:api|access)_?key|(?:^|_)keys?(?:_|$)")
_NO_SECRETS = frozenset({
    "use_dynamic_credentials", "default_credentials_domain_name", "change_password", "enable_instance_password",
    "user_unique_last_password_count", "user_minimum_password_age", "use_system_token", "ssh_key_type",
})  # fmt: skip
"""Options of Tempest whose names look like it: switches, numbers, the name of a domain and a kind of key."""

_PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#:@\s]*:([^/?#\s]+)@")

MIN_SECRET_LENGTH = 4
"""Shorter values are not masked: they would blot out ordinary text."""
MIN_FREE_LENGTH = 6
"""A shorter secret of letters and digits is masked only as a whole word: ``admin`` is part of many names."""
MASK = "***"

_MIN_BASE64 = 8
_MAX_TRIES = 256
_SWITCHES = frozenset({"true", "false", "none"})


def is_secret_option(name: str) -> bool:
    """Return whether the value of an option with this name must never be shown."""
    option = name.lower().replace("-", "_")
    return option.rpartition(".")[2] not in _NO_SECRETS and _SECRET_OPTION.search(option.replace(".", "_")) is not None


def secret_values(conf: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the values of all secret options in a configuration; numbers as they are written in text.

    The password in an address, between the user name and ``@``, is one too, whatever the option.
    """
    return {
        text
        for options in conf.values()
        for option, value in options.items()
        for text in (_texts(value) if is_secret_option(option) else _passwords_in_addresses(value))
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _passwords_in_addresses(value: Any) -> Iterator[str]:
    for text in _texts(value):
        for password in _PASSWORD_IN_ADDRESS.findall(text):
            yield from {password, unquote(password)}


class Masker:
    """Masks a fixed set of secrets, in every spelling that logs use.

    The time for a text grows with its length and the number of secrets, never with the square of either.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(each for each in secrets if _is_maskable(each))

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def text(self, text: str) -> str:
        """Return text without the secrets."""
        return self._replaced(text, self._spellings)

    def name(self, name: str) -> str:
        """Return a test's name without the secrets.

        Short secrets and those made of letters stay: a guideline has to recognise the names of its tests.
        """
        return self._replaced(name, self._spellings_in_names)

    def value(self, value: Any) -> Any:
        """Return a JSON value with its texts masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self.value(item) for name, item in value.items()}
        return value

    def same_length(self, data: bytes) -> bytes:
        """Return bytes in which each secret is replaced by as many asterisks as it has bytes."""
        pattern = _pattern(data, self._spellings)
        return pattern.sub(lambda match: b"*" * len(match.group()), data) if pattern else data

    def split(self, data: bytes, is_last: bool = False) -> tuple[bytes, bytes]:
        """Return the masked start of ``data``, and the unmasked end that has to wait for the next piece.

        :param is_last: no next piece will come; nothing waits.
        """
        cut = len(data) - (0 if is_last else self.open_end(data))
        pattern = _pattern(data, self._spellings)
        if pattern is None:
            return data[:cut], data[cut:]
        for match in pattern.finditer(data):
            if match.start() < cut < match.end():
                cut = match.end()
        return pattern.sub(MASK.encode("ascii"), data[:cut]), data[cut:]

    def open_end(self, data: bytes) -> int:
        """Return how many of the last bytes may be the start of a secret that continues in the next piece.

        After many false starts the answer is larger than necessary, never smaller.
        """
        if not self._spellings:
            return 0
        start = max(0, len(data) - len(self._spellings[0]) + 1)
        for tries, match in enumerate(self._first_bytes.finditer(data, start)):
            if tries == _MAX_TRIES or self._begins_with(data[match.start() :]):
                return len(data) - match.start()
        return 0

    def _begins_with(self, tail: bytes) -> bool:
        return any(len(each) > len(tail) and each.startswith(tail) for each in self._spellings)

    @cached_property
    def _spellings(self) -> list[bytes]:
        return _longest_first(self._secrets)

    @cached_property
    def _spellings_in_names(self) -> list[bytes]:
        return _longest_first(
            each for each in self._secrets if len(each) >= MIN_FREE_LENGTH and not each.replace("_", "").isalpha()
        )

    @cached_property
    def _first_bytes(self) -> re.Pattern[bytes]:
        return re.compile(b"|".join(re.escape(each) for each in sorted({each[:1] for each in self._spellings})))

    @staticmethod
    def _replaced(text: str, spellings: list[bytes]) -> str:
        data = text.encode("utf-8", "surrogatepass")
        pattern = _pattern(data, spellings)
        return pattern.sub(MASK.encode("ascii"), data).decode("utf-8", "surrogatepass") if pattern else text


class KnownSecrets:
    """The secrets that a process knows at the moment; threads may add and forget them at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: dict[str, int] = {}
        self.masker = Masker(())
        """Masks all of them."""

    def add(self, *secrets: str) -> None:
        """Mask these from now on."""
        self._count(secrets, 1)

    def add_conf(self, conf: Mapping[str, Mapping[str, Any]]) -> None:
        """Mask the values of all secret options from now on."""
        self.add(*secret_values(conf))

    @contextmanager
    def hidden(self, secrets: Iterable[str]) -> Iterator[None]:
        """Mask these as long as the context lasts."""
        known = tuple(secrets)
        self._count(known, 1)
        try:
            yield
        finally:
            self._count(known, -1)

    def mask(self, text: str) -> str:
        """Return text without the secrets."""
        return self.masker.text(text)

    def _count(self, secrets: Iterable[str], step: int) -> None:
        with self._lock:
            before = self._uses.keys() | set()
            for secret in secrets:
                self._uses[secret] = self._uses.get(secret, 0) + step
                if self._uses[secret] <= 0:
                    del self._uses[secret]
            if self._uses.keys() != before:
                self.masker = Masker(self._uses)


def _is_maskable(secret: str) -> bool:
    return len(secret) >= MIN_SECRET_LENGTH and secret.lower() not in _SWITCHES


def _longest_first(secrets: Iterable[str]) -> list[bytes]:
    return sorted({each for secret in secrets for each in _spelled(secret)}, key=lambda each: (-len(each), each))


def _spelled(secret: str) -> Iterator[bytes]:
    quoted = quote(secret, safe="", errors="surrogatepass")
    # not by xml.sax or html: whose import costs every start of execute_test some milliseconds
    in_xml = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    in_body = {secret, _in_json(secret), _in_json(secret, False)}
    plain = {
        *in_body,
        repr(secret)[1:-1],
        *(shown for each in in_body for shown in _shown(each)),
        quoted,
        re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), quoted),
        quote(secret, errors="surrogatepass"),
        quote_plus(secret, errors="surrogatepass"),
        in_xml,
        in_xml.replace('"', "&quot;").replace("'", "&#x27;"),
        in_xml.replace('"', "&#34;").replace("'", "&#39;"),
        # as oslo.config writes it
        secret.replace("$", "$$"),
        # as a shell does, between apostrophes
        secret.replace("'", "'\"'\"'"),
    }
    for text in plain:
        yield text.encode("utf-8", "surrogatepass")
    yield from _in_base64(secret.encode("utf-8", "surrogatepass"))


def _in_json(text: str, is_ascii: bool = True) -> str:
    return json.dumps(text, ensure_ascii=is_ascii)[1:-1]


def _shown(text: str) -> Iterator[str]:
    """Yield what Python and JSON show of a longer text, such as a request's body, for this part of it."""
    # with a quotation mark in the text, Python escapes apostrophes
    yield repr(f'"{text}')[2:-1]
    yield repr(b'"' + text.encode("utf-8", "surrogatepass"))[3:-1]
    yield _in_json(text)
    yield _in_json(text, False)


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of a secret alone, and of one in the middle of a text (``user:password``)."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret)
        for before in range(3):
            # the first characters also depend on what stands before, the last ones on what follows
            fixed = encode(bytes(before) + secret)[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
            if len(fixed) >= _MIN_BASE64:
                yield fixed


def _pattern(data: bytes, spellings: list[bytes]) -> re.Pattern[bytes] | None:
    """Return the expression for those spellings that are in ``data``; None if none is, as nearly always."""
    present = [each for each in spellings if each in data]
    return re.compile(b"|".join(map(_expression, present))) if present else None


def _expression(spelling: bytes) -> bytes:
    if len(spelling) < MIN_FREE_LENGTH and spelling.isalnum():
        return rb"(?<![A-Za-z0-9])" + re.escape(spelling) + rb"(?![A-Za-z0-9])"
    return re.escape(spelling)
