"""Servers, volumes, networks, images and the like that a run left: which are the run's, and in which order they go.

``tempest cleanup`` does not do it: it lists servers and volumes of the administrator's own project alone, knows names
but not projects, and ends at the first service without an extension. Here a resource is the run's if it belongs to one
of its projects, or carries its prefix, or (floating IPs, which have no name) was changed by it and is new.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.execute_test.cloud.catalog import service_endpoint
from refstack_worker.execute_test.cloud.cleanup.removal import Removal
from refstack_worker.execute_test.cloud.keystone import Keystone, KeystoneToken, sensible_answers
from refstack_worker.execute_test.cloud.service_api import ServiceApi
from refstack_worker.execute_test.failures import CloudFailure
from refstack_worker.execute_test.http import Denied

WAIT_SECONDS = 60.0
"""For servers and volumes to be gone after they were deleted."""
POLL_SECONDS = 0.5
TRIES = 3
"""Rounds over all kinds: what is still in use in the first can go in the next."""

_OWNER_FIELDS = ("project_id", "tenant_id", "owner", "os-vol-tenant-attr:tenant_id",
                 "os-extended-snapshot-attributes:project_id")  # fmt: skip
ResourceRecord = Mapping[str, Any]


@dataclass(frozen=True)
class Ownership:
    """Which resources are a run's."""

    prefix: str
    """Start of their names, with its last dash."""
    projects: frozenset[str] = frozenset()
    """Projects that the run made for itself."""
    floating_ips: frozenset[str] = frozenset()
    """Floating IPs that it changed and that were not there before it."""

    def covers(self, record: ResourceRecord) -> bool:
        """Return whether a resource is the run's."""
        owners = {str(record[name]) for name in _OWNER_FIELDS if record.get(name)}
        return (
            bool(owners & self.projects)
            or str(record.get("name") or "").startswith(self.prefix)
            or str(record.get("id")) in self.floating_ips
        )


@dataclass(frozen=True)
class ResourceKind:
    """A kind of resources: where a service lists them, and how one goes."""

    name: str
    service: str
    """Option of ``[service_available]``."""
    version: str
    path: str
    key: str
    """Of the list in the response."""
    everybodys: str = ""
    """Query with which an administrator sees those of all projects."""
    is_slow: bool = False
    """A delete only starts the removal."""
    id_field: str = "id"
    prepare: Callable[[ServiceApi, str, ResourceRecord], None] | None = None
    """What has to happen before one can be deleted."""
    delete_query: str = ""
    is_administrative: bool = False
    """Only administrators have any."""


def _detach_router(api: ServiceApi, url: str, record: ResourceRecord) -> None:
    base = url.rsplit("/routers/", 1)[0]
    if record.get("external_gateway_info"):
        api.send("PUT", url, {"router": {"external_gateway_info": {}}})
    for port in api.records(f"{base}/ports?device_id={record['id']}", "ports"):
        if str(port.get("device_owner", "")).startswith("network:router_interface"):
            api.send("PUT", f"{url}/remove_router_interface", {"port_id": port["id"]})


def _unprotect_image(api: ServiceApi, url: str, record: ResourceRecord) -> None:
    if not record.get("protected"):
        return
    change = [{"op": "replace", "path": "/protected", "value": False}]
    api.send("PATCH", url, change, "application/openstack-images-v2.1-json-patch")


KINDS = (
    ResourceKind("server", "nova", "v2.1", "/servers/detail", "servers", "all_tenants=1", True),
    ResourceKind("server group", "nova", "v2.1", "/os-server-groups", "server_groups", "all_projects=True"),
    ResourceKind("volume backup", "cinder", "v3", "/backups/detail", "backups", "all_tenants=1", True),
    ResourceKind("volume snapshot", "cinder", "v3", "/snapshots/detail", "snapshots", "all_tenants=1", True),
    ResourceKind(
        "volume", "cinder", "v3", "/volumes/detail", "volumes", "all_tenants=1", True, delete_query="?cascade=true"
    ),
    ResourceKind("floating IP", "neutron", "v2.0", "/floatingips", "floatingips"),
    ResourceKind("router", "neutron", "v2.0", "/routers", "routers", prepare=_detach_router),
    ResourceKind("port", "neutron", "v2.0", "/ports", "ports"),
    ResourceKind("network", "neutron", "v2.0", "/networks", "networks"),
    ResourceKind("subnet", "neutron", "v2.0", "/subnets", "subnets"),
    ResourceKind("subnet pool", "neutron", "v2.0", "/subnetpools", "subnetpools"),
    ResourceKind("address scope", "neutron", "v2.0", "/address-scopes", "address_scopes"),
    ResourceKind("security group", "neutron", "v2.0", "/security-groups", "security_groups"),
    ResourceKind("image", "glance", "v2", "/images?limit=1000", "images", prepare=_unprotect_image),
    ResourceKind("keypair", "nova", "v2.1", "/os-keypairs", "keypairs", id_field="name"),
    ResourceKind("flavor", "nova", "v2.1", "/flavors/detail?is_public=None", "flavors", is_administrative=True),
    ResourceKind("aggregate", "nova", "v2.1", "/os-aggregates", "aggregates", is_administrative=True),
    ResourceKind("volume type", "cinder", "v3", "/types?is_public=None", "volume_types", is_administrative=True),
    ResourceKind("QoS specification", "cinder", "v3", "/qos-specs", "qos_specs", is_administrative=True),
)
"""In the order in which they can go."""


@dataclass
class ResourceRemoval:
    """Removes the resources of a run from the services of a cloud, as one user."""

    keystone: Keystone
    token: KeystoneToken
    region: str
    is_admin: bool
    removal: Removal

    def remove(self, ownership: Ownership) -> bool:
        """Remove all that is the run's; report what is still there, with its id. Returns whether nothing is."""
        remaining: dict[str, str] = {}
        for round_number in range(TRIES):
            remaining = {}
            for kind in KINDS:
                remaining.update(self._remove_kind(kind, ownership, is_last=round_number == TRIES - 1))
            if not remaining:
                break
            time.sleep(POLL_SECONDS * (round_number + 1))
        for what, why in remaining.items():
            self.removal.failed(what, why)
        return not remaining

    def owned(self, kind: ResourceKind, ownership: Ownership) -> list[ResourceRecord]:
        """Return the run's resources of a kind; empty if the cloud or the user has none."""
        api = self._api(kind.service)
        if api is None or (kind.is_administrative and not self.is_admin):
            return []
        listed = api.records(
            _with_query(f"{_base(api, kind)}{kind.path}", kind.everybodys if self.is_admin else ""), kind.key
        )
        records = [one.get("keypair", one) if kind.name == "keypair" else one for one in listed]
        return [one for one in records if ownership.covers(one) and not _belongs_to_service(kind, one)]

    def _remove_kind(self, kind: ResourceKind, ownership: Ownership, is_last: bool) -> dict[str, str]:
        try:
            with sensible_answers():
                owned = self.owned(kind, ownership)
                failed = {_shown(kind, one): why for one in owned if (why := self._remove_one(kind, one, is_last))}
                if kind.is_slow and len(owned) > len(failed):
                    failed.update(self._wait(kind, ownership))
                for one in owned:
                    if _shown(kind, one) not in failed:
                        self.removal.done(_shown(kind, one))
        except CloudFailure as error:
            return {f"{kind.name}s": str(error)}
        return failed

    def _remove_one(self, kind: ResourceKind, record: ResourceRecord, is_last: bool) -> str:
        """Delete one resource; returns why that failed."""
        api = self._api(kind.service)
        assert api is not None  # noqa: S101 - it was listed there
        url = f"{_base(api, kind)}{_collection(kind)}/{record[kind.id_field]}"
        try:
            if kind.prepare:
                kind.prepare(api, url, record)
            if is_last and kind.service == "cinder" and kind.is_slow and self.is_admin:
                api.send("POST", f"{url}/action", {"os-force_delete": {}})
            else:
                api.send("DELETE", f"{url}{kind.delete_query if not is_last else ''}")
        except Denied as error:
            return "" if error.status == 404 else f"{error}; remove it with DELETE {url}"
        return ""

    def _wait(self, kind: ResourceKind, ownership: Ownership) -> dict[str, str]:
        """Wait until the deleted resources are gone; returns those that stay."""
        end = time.monotonic() + WAIT_SECONDS
        while (left := self.owned(kind, ownership)) and time.monotonic() < end:
            if all(str(one.get("status", "")).lower().startswith("error") for one in left):
                break
            time.sleep(POLL_SECONDS)
        return {_shown(kind, one): f"still there, status {one.get('status', 'unknown')}" for one in left}

    def _api(self, service: str) -> ServiceApi | None:
        endpoint = service_endpoint(self.token, service, self.region)
        return ServiceApi(self.keystone, self.token, endpoint) if endpoint else None


def _base(api: ServiceApi, kind: ResourceKind) -> str:
    return api.endpoint if kind.service == "cinder" else api.versioned(kind.version)


def _collection(kind: ResourceKind) -> str:
    return kind.path.partition("?")[0].replace("/detail", "")


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _shown(kind: ResourceKind, record: ResourceRecord) -> str:
    name = str(record.get("name") or record.get("floating_ip_address") or "")
    return " ".join(word for word in (kind.name, name, f"({record[kind.id_field]})") if word)


def _belongs_to_service(kind: ResourceKind, record: ResourceRecord) -> bool:
    """Return whether a port goes with its router or network and cannot be deleted by itself."""
    return kind.name == "port" and str(record.get("device_owner", "")).startswith("network:")


def floating_ips(keystone: Keystone, token: KeystoneToken, region: str) -> list[str] | None:
    """Return the ids of the floating IPs that a user sees; empty in a cloud without any, None: they are not known."""
    endpoint = service_endpoint(token, "neutron", region)
    if not endpoint:
        return []
    api = ServiceApi(keystone, token, endpoint)
    # a network service that does not respond is reported by the search for options
    with contextlib.suppress(CloudFailure):
        found = api.known_records(f"{api.versioned('v2.0')}/floatingips", "floatingips")
        return None if found is None else [str(one.get("id")) for one in found]
    return None
