"""What the service catalogue says: services, regions, the cloud's id."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from refstack_worker.contract.cpid import cpid
from refstack_worker.contract.networks import is_forbidden
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.cloud.service_types import PUBLIC, SERVICE_TYPES
from refstack_worker.execute_test.failures import CloudFailure

INTERFACES = ("public", "admin", "internal")
MAX_HOSTS = 20
"""Hosts of a catalogue that are checked; a cloud has a handful."""
RESOLVE_SECONDS = 3.0
"""For all names of a catalogue together: a resolver may stay silent."""


def offered_services(token: KeystoneToken, region: str) -> dict[str, bool]:
    """Return, for each option of ``[service_available]``, whether the catalogue has the service in the region."""
    return {name: endpoint_of(token, types, region) is not None for name, types in SERVICE_TYPES.items()}


def identity_interface(token: KeystoneToken, url: str) -> str:
    """Return the interface of the identity endpoint that leads where the log-in went; empty when there is none.

    By default, Tempest uses the administrators' one, which many clouds do not have, or do not show outside.
    """
    points = [point for service, point in _endpoints(token) if service.get("type") == "identity"]
    used = urllib.parse.urlsplit(url).netloc
    there = [point for point in points if urllib.parse.urlsplit(str(point.get("url"))).netloc == used]
    kinds = {point.get("interface") for point in there or points}
    return next((kind for kind in INTERFACES if kind in kinds), "")


def regions_of(token: KeystoneToken) -> list[str]:
    """Return the regions of the catalogue, sorted."""
    names = (str(point.get("region_id") or point.get("region") or "") for _, point in _endpoints(token))
    return sorted({name for name in names if name})


def service_addresses(token: KeystoneToken) -> list[tuple[str, str]]:
    """Return the address of each endpoint with the type of its service."""
    known = [(point.get("url"), service.get("type", "")) for service, point in _endpoints(token)]
    return [(str(url), str(kind)) for url, kind in known if url]


def endpoint_of(token: KeystoneToken, types: Sequence[str], region: str = "") -> str | None:
    """Return the address of the first service of these types, at the interface that Tempest uses; None without any.

    :param region: empty for any.
    """
    for service, endpoint in _endpoints(token):
        kind = str(service.get("type"))
        here = not region or region in (endpoint.get("region_id"), endpoint.get("region"))
        if kind in types and endpoint.get("interface") == token.interfaces.get(kind, PUBLIC) and here:
            return str(endpoint.get("url") or "")
    return None


def check_catalog(token: KeystoneToken, interfaces: Collection[str] = (PUBLIC,)) -> None:
    """Reject a catalogue that leads to a metadata service: Tempest follows the catalogue.

    :param interfaces: those that Tempest may use; a name that only a cloud's own network knows is not asked for.
    :raises CloudFailure: one of its addresses does.
    """
    urls = {str(point["url"]) for _, point in _endpoints(token)
            if point.get("url") and point.get("interface", PUBLIC) in interfaces}  # fmt: skip
    hosts = sorted({host for url in urls if (host := urllib.parse.urlsplit(url).hostname)})
    found: queue.SimpleQueue[str] = queue.SimpleQueue()
    for host in hosts[:MAX_HOSTS]:
        # a resolver cannot be interrupted: do not wait for the threads of those that stay silent
        threading.Thread(target=_resolve, args=(host, found), daemon=True).start()
    deadline = time.monotonic() + RESOLVE_SECONDS
    for _ in hosts[:MAX_HOSTS]:
        try:
            host = found.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        if host:
            raise CloudFailure(f"the cloud's catalogue names {host}, an address of a metadata service or of the node")


def _resolve(host: str, found: queue.SimpleQueue[str]) -> None:
    """Put the host there if it is forbidden, else an empty text."""
    is_bad = False
    with contextlib.suppress(OSError, UnicodeError):
        resolved = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        is_bad = any(is_forbidden(str(one[4][0])) for one in resolved)
    found.put(host if is_bad else "")


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
