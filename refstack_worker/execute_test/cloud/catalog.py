"""What the service catalogue says: services, regions, the cloud's id."""

from __future__ import annotations

import contextlib
import socket
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refstack_worker.contract.cpid import cpid
from refstack_worker.contract.networks import is_forbidden
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.failures import CloudFailure

SERVICE_TYPES = {
    "nova": ("compute",),
    "glance": ("image",),
    "neutron": ("network",),
    "cinder": ("volumev3", "block-storage", "block-store", "volume", "volumev2"),
    "swift": ("object-store",),
}
"""Option of ``[service_available]`` to the catalogue's types."""
MAX_HOSTS = 20
"""Hosts of a catalogue that are checked; a cloud has a handful."""


def offered_services(token: KeystoneToken, region: str) -> dict[str, bool]:
    """Return, for each option of ``[service_available]``, whether the catalogue has the service in the region."""
    return {name: public_endpoint(token, types, region) is not None for name, types in SERVICE_TYPES.items()}


def service_addresses(token: KeystoneToken) -> list[tuple[str, str]]:
    """Return the address of each endpoint with the type of its service."""
    known = [(point.get("url"), service.get("type", "")) for service, point in _endpoints(token)]
    return [(str(url), str(kind)) for url, kind in known if url]


def public_endpoint(token: KeystoneToken, types: Sequence[str], region: str = "") -> str | None:
    """Return the public address of the first service of these types; None when there is none.

    :param region: empty for any.
    """
    for service, endpoint in _endpoints(token):
        here = not region or region in (endpoint.get("region_id"), endpoint.get("region"))
        if service.get("type") in types and endpoint.get("interface") == "public" and here:
            return str(endpoint.get("url") or "")
    return None


def check_catalog(token: KeystoneToken) -> None:
    """Reject a catalogue that leads to a metadata service: Tempest follows the catalogue.

    :raises CloudFailure: one of its addresses does.
    """
    hosts = {urllib.parse.urlsplit(str(point["url"])).hostname for _, point in _endpoints(token) if point.get("url")}
    for host in sorted(host for host in hosts if host)[:MAX_HOSTS]:
        with contextlib.suppress(OSError, UnicodeError):
            for resolved in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
                if is_forbidden(str(resolved[4][0])):
                    raise CloudFailure(
                        f"the cloud's catalogue names {host}, an address of a metadata service or of the node"
                    )


def cloud_id(token: KeystoneToken, url: str) -> str:
    """Return the id by which RefStack knows the cloud."""
    return cpid(token.catalog, url)


def only_region(token: KeystoneToken, url: str) -> str:
    """Return the only region of the catalogue, or that of the identity endpoint in use; empty without any."""
    regions: dict[str, bool] = {}
    for service, endpoint in _endpoints(token):
        name = str(endpoint.get("region_id") or endpoint.get("region") or "")
        in_use = service.get("type") == "identity" and url.startswith(str(endpoint.get("url", "")).rstrip("/"))
        if name:
            regions[name] = regions.get(name, False) or in_use
    used = sorted(name for name, in_use in regions.items() if in_use)
    return (used or sorted(regions) or [""])[0]


def _endpoints(token: KeystoneToken) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for service in token.catalog:
        for endpoint in service.get("endpoints") or ():
            yield service, endpoint
