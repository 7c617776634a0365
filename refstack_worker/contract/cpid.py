"""The cpid: the id by which RefStack knows a cloud, computed as refstack-client does. Standard library alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit


def cpid_of(address: str) -> str:
    """Return the id of a cloud whose catalogue has none: the MD5 of the host name of its Keystone."""
    host = urlsplit(address).hostname or ""
    return hashlib.md5(host.encode("utf-8"), usedforsecurity=False).hexdigest()


def cpid(catalog: Iterable[Mapping[str, Any]], address: str) -> str:
    """Return the id of the identity service in a catalogue or, failing that, :func:`cpid_of` the address."""
    for service in catalog:
        if service.get("type") == "identity" and service.get("id"):
            return str(service["id"])
    return cpid_of(address)
