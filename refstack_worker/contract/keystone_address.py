"""The address of a cloud's Keystone, as people have it. Standard library alone: ``execute_test`` uses it too."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

_VERSION = re.compile(r"/v(?:2(?:\.0)?|3(?:\.\d+)?)(?:/auth)?(?:/tokens)?\Z", re.IGNORECASE)
"""A version at the end of an address, and what old guides have behind it: where tokens are made."""
_USER = re.compile(r"//[^/]*@")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


_NEWER = "Cn"
"""Category of what Unicode 3.2, and so Python's own conversion of names (IDNA 2003), does not know."""
_FILLERS = frozenset("\u115f\u1160\u17b4\u17b5")
"""Letters then, and left out of names today."""
_MAX_NAME = 253
"""Characters of a host's name. Of longer ones, the conversion to ASCII takes the square of their length."""


def v3_address(address: str) -> str:
    """Return the address of the v3 API: openrc files and clouds.yaml often name no version, or ``/v2.0``."""
    return f"{_VERSION.sub('', address.strip().rstrip('/')).rstrip('/')}/v3"


def shown_address(address: str) -> str:
    """Return an address as messages may show it: without user name, password, query and fragment."""
    return _USER.sub("//", re.split("[?#]", address, maxsplit=1)[0])


def shown_malformed(text: str) -> str:
    """Return what should be an address as messages may show it: all before the last ``@`` may be a password."""
    start = _SCHEME.match(text)
    return shown_address((start[0] if start else "") + text.rpartition("@")[2]) if "@" in text else shown_address(text)


def is_same_server(one: str, other: str) -> bool:
    """Return whether two addresses lead to the same server: scheme, host and port."""
    return server_of(one) == server_of(other) != ("", "", 0)


def ascii_name(host: str) -> str:
    """Return the name of a host as it is sent (``xn--…``); unchanged where libraries may see different names in it."""
    text = host.lower()
    if text.isascii() or len(text) > _MAX_NAME or text != unicodedata.normalize("NFKC", text.casefold()):
        return host
    if any(letter in _FILLERS or unicodedata.ucd_3_2_0.category(letter) == _NEWER for letter in text):
        return host
    try:
        name = text.encode("idna")
        return name.decode("ascii") if name.decode("idna") == text else host
    except UnicodeError:
        return host


def server_of(address: str) -> tuple[str, str, int]:
    """Return scheme, host (in ASCII where that is certain) and port of an address; empty ones if it is none."""
    if "\\" in address or not address.strip().isprintable():
        # here libraries differ about where the host ends
        return "", "", 0
    try:
        parts = urlsplit(address.strip())
        return parts.scheme, ascii_name(parts.hostname or ""), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", 0
