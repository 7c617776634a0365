"""Addresses of servers, checked and shortened."""

from __future__ import annotations

import re
import urllib.parse

from refstack_worker.contract.keystone_address import shown_address
from refstack_worker.execute_test.failures import BadInput

_SCHEMES = ("http", "https")


def base_url(text: str, where: str) -> str:
    """Return a server's address without the last slash; without a scheme it means ``http``, as in 2014.

    :raises BadInput: it is not the address of a server.
    """
    if "@" in text:
        # what stands before it may be a password
        raise BadInput(f"{where}: enter the address of a server without user name or password")
    address = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(address)
        valid = parts.scheme in _SCHEMES and parts.hostname and (parts.port is None or parts.port > 0)
        # https:/host and https//host lack a slash or a colon: no server has such a name
        valid = valid and parts.hostname not in _SCHEMES
    except ValueError:
        valid = False
    if not valid or "?" in address or "#" in address or re.search(r"[\s\x00-\x1f\\]", address):
        raise BadInput(f"{where}: {shown_address(text)[:200]!r} is not an http or https address of a server")
    # Tempest's options take the scheme in small letters alone
    return f"{parts.scheme}{address[len(parts.scheme) :]}".rstrip("/")
