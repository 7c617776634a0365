"""What the service catalogue says: services, regions, the cloud's id."""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from refstack_worker.contract.cpid import cpid
from refstack_worker.contract.keystone_address import shown_address, shown_malformed
from refstack_worker.contract.networks import is_forbidden
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.cloud.service_types import ALL_SECTIONS, ALL_TYPES, PUBLIC, SERVICE_TYPES
from refstack_worker.execute_test.failures import CloudFailure

INTERFACES = ("public", "admin", "internal")
MAX_HOSTS = 20
"""Hosts of a catalogue that are checked; a cloud has a handful."""
_VERSIONED = {"nova": "/v2.1", "cinder": "/v3/PROJECT_ID"}
"""Services to whose addresses Tempest adds no version, and the end that their addresses have."""
RESOLVE_SECONDS = 3.0
"""For all names of a catalogue together: a resolver may stay silent."""


def offered_services(token: KeystoneToken, region: str) -> dict[str, bool]:
    """Return, for each option of ``[service_available]``, whether the catalogue has the service in the region."""
    return {name: bool(offered_types(token, name, region)) for name in SERVICE_TYPES}


def identity_interface(token: KeystoneToken, url: str) -> str:
    """Return the interface of the identity endpoint that leads where the log-in went; empty when there is none.

    By default, Tempest uses the administrators' one, which many clouds do not have, or do not show outside.
    """
    points = [point for service, point in _endpoints(token) if service.get("type") == "identity"]
    used = _parts(url).netloc
    there = [point for point in points if _parts(str(point.get("url"))).netloc == used]
    kinds = {point.get("interface") for point in there or points}
    return next((kind for kind in INTERFACES if kind in kinds), "")


def set_region(conf: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the region that a configuration sets, without blanks around it; empty if it sets none."""
    return str(conf.get("identity", {}).get("region") or "").strip()


def regions_of(token: KeystoneToken) -> list[str]:
    """Return the regions of the catalogue, sorted."""
    names = (str(point.get("region_id") or point.get("region") or "") for _, point in _endpoints(token))
    return sorted({name for name in names if name})


def service_addresses(token: KeystoneToken) -> list[tuple[str, str]]:
    """Return the address of each endpoint with the type of its service."""
    known = [(point.get("url"), service.get("type", "")) for service, point in _endpoints(token)]
    return [(str(url), str(kind)) for url, kind in known if url]


def endpoint_of(token: KeystoneToken, types: Sequence[str], region: str = "") -> str | None:
    """Return the address of the first of these types that is there, at the interface that Tempest uses, else None.

    Where the catalogue lists a type several times, Tempest looks only at the first of them.

    :param region: of the services for which no other was set; empty for any.
    """
    for kind in types:
        service = next((one for one in token.catalog if one.get("type") == kind), {})
        wanted = token.regions.get(kind) or region
        for endpoint in service.get("endpoints") or ():
            here = not wanted or wanted in (endpoint.get("region_id"), endpoint.get("region"))
            if endpoint.get("interface") == token.interfaces.get(kind, PUBLIC) and here:
                return str(endpoint.get("url") or "")
    return None


def offered_types(token: KeystoneToken, name: str, region: str = "") -> list[str]:
    """Return the types under which Tempest can use a service in a region, the usual one first.

    :param name: option of ``[service_available]``, also that of a plugin.
    """
    found = {kind: endpoint_of(token, (kind,), region) for kind in token.types[name]}
    return [kind for kind, url in found.items() if url and not unusable(token, name, url)]


def service_endpoint(token: KeystoneToken, name: str, region: str = "") -> str | None:
    """Return the address at which Tempest can use a service; None without any.

    :param name: option of ``[service_available]``.
    """
    return endpoint_of(token, offered_types(token, name, region), region)


def unusable(token: KeystoneToken, name: str, url: str) -> str:
    """Return why Tempest cannot use a service at this address; empty if it can, or if its version is up to the vendor.

    That is so where the type was set.
    """
    if url and not is_address(url):
        return f"its address {shown_malformed(url)[:200]!r} is not a valid URL"
    version = _version_in(url)
    if token.types[name] != ALL_TYPES[name]:
        return ""
    if name == "cinder" and version in ("v1", "v2"):
        return f"its URL is for the old API {version}, while Tempest tests v3"
    if name == "neutron" and version:
        return (f"its URL ends in /{version}, and Tempest appends the version itself. Register the URL without the "
                "version")  # fmt: skip
    return ""


def is_address(url: str) -> bool:
    """Return whether a service can be called at an address of the catalogue at all."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _parts(url: str) -> urllib.parse.SplitResult:
    """Return the parts of an address; empty ones if it is none: one bad entry must not hide all the others."""
    return urllib.parse.urlsplit(url if is_address(url) else "")


def doubtful(name: str, url: str) -> str:
    """Return why Tempest probably cannot use a service at this address; empty if it can."""
    if name in _VERSIONED and not _version_in(url):
        return (f"its address in the catalogue, {shown_address(url)}, has no version, and Tempest adds none; its tests "
                f"fail unless it responds there. Register it with {_VERSIONED[name]}")  # fmt: skip
    return ""


def _version_in(url: str) -> str:
    found = re.search(r"/(v\d+(?:\.\d+)?)(?:/|$)", _parts(url).path)
    return found[1] if found else ""


def why_not_offered(token: KeystoneToken, name: str, region: str = "") -> str:
    """Return why Tempest does not find a service that the catalogue lists; empty if it is not listed."""
    for kind in token.types[name]:
        url = endpoint_of(token, (kind,), region)
        if url is not None:
            return f"the catalogue lists {kind}, but {unusable(token, name, url) or 'without an address'}"
        listed = [one for one in token.catalog if one.get("type") == kind]
        others = replace(token, body={"catalog": listed[1:]})
        if endpoint_of(others, (kind,), region) is not None:
            return f"the catalogue lists {kind} {len(listed)} times, and Tempest looks only at the first of them"
        if others_at := _other_interfaces(token, kind, region):
            wanted, option = token.interfaces.get(kind, PUBLIC), f"{ALL_SECTIONS[name]}.endpoint_type"
            return f"the catalogue lists {kind} without a {wanted} address; {option} can be {' or '.join(others_at)}"
    return ""


def own_region(token: KeystoneToken, name: str) -> str:
    """Return the region that was set for a service alone; empty without one.

    :param name: option of ``[service_available]``.
    """
    return next((token.regions[kind] for kind in token.types[name] if kind in token.regions), "")


def other_regions(token: KeystoneToken, name: str, region: str) -> list[str]:
    """Return the regions in which a service is that the given one lacks.

    :param name: option of ``[service_available]``.
    """
    anywhere = replace(token, regions={})
    return [one for one in regions_of(token) if one != region and offered_types(anywhere, name, one)]


def _other_interfaces(token: KeystoneToken, kind: str, region: str) -> list[str]:
    """Return at which interfaces a service has an address in the region."""
    region = token.regions.get(kind) or region
    found = {str(endpoint.get("interface")) for service, endpoint in _endpoints(token) if service.get("type") == kind
             and (not region or region in (endpoint.get("region_id"), endpoint.get("region")))}  # fmt: skip
    return [one for one in INTERFACES if one in found]


def check_catalog(token: KeystoneToken, interfaces: Collection[str] = (PUBLIC,)) -> None:
    """Reject a catalogue that leads to a metadata service: Tempest follows the catalogue.

    :param interfaces: those that Tempest may use; a name that only a cloud's own network knows is not asked for.
    :raises CloudFailure: one of its addresses does.
    """
    urls = {str(point["url"]) for _, point in _endpoints(token)
            if point.get("url") and point.get("interface", PUBLIC) in interfaces}  # fmt: skip
    hosts = sorted({host for url in urls if (host := _parts(url).hostname)})
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
    """Return the only region of the catalogue; empty without any.

    Of several, it is that of the identity endpoint in use. If that has no other services, or several regions share the
    endpoint, the region with the most services is taken. Services with a region of their own do not count.
    """
    used: set[str] = set()
    others = {name for name in SERVICE_TYPES if not own_region(token, name)}
    for service, endpoint in _endpoints(token):
        address = str(endpoint.get("url") or "").rstrip("/")
        if service.get("type") == "identity" and address and url.startswith(address):
            used.add(str(endpoint.get("region_id") or endpoint.get("region") or ""))

    def rank(region: str) -> tuple[bool, int, bool]:
        services = sum(is_there for name, is_there in offered_services(token, region).items() if name in others)
        return region in used and services > 0, services, region in used

    # of equals, the first by name
    return max(regions_of(token), key=rank, default="")


def _endpoints(token: KeystoneToken) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for service in token.catalog:
        for endpoint in service.get("endpoints") or ():
            yield service, endpoint
