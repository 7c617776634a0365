"""Addresses: of servers that a run may call, and of metadata services that it must not."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from refstack_worker.execute_test.failures import BadInput

METADATA_NETWORKS = tuple(ipaddress.ip_network(text) for text in (
    "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "64:ff9b::a9fe:0/112", "100.100.100.200/32",
    "168.63.129.16/32"))  # fmt: skip
"""Where a machine's provider offers it secrets. No cloud under test is there."""


def base_url(text: str, where: str) -> str:
    """Return a server's address without the last slash; without a scheme it means ``http``, as in 2014.

    :raises BadInput: it is not the address of a server.
    """
    address = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or "@" in address or "?" in address or "#" in address or re.search(r"[\s\x00-\x1f\\]", address):
        raise BadInput(f"{where}: {text[:200]!r} is not an http or https address of a server")
    return address.rstrip("/")


def is_metadata(address: str) -> bool:
    """Return whether an IP address is one of a metadata service, also when it is written as IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(plain.version == network.version and plain in network for network in METADATA_NETWORKS)
