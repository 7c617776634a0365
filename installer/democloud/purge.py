"""Removes from a whole cloud everything that tests made, in the order in which the services allow it.

For our own test clouds: it spares only what the cloud held when it was started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from democloud import ports
from democloud.api import Session
from democloud.openstack.contents import FLAVORS
from democloud.openstack.parts.volume import BACKEND
from democloud.openstack.whole import WholeCloud
from democloud.ports import CloudError

GONE_SECONDS = 60.0
OWN_PROJECTS = ("admin", "service")
MADE_BY_TESTS = ("tempest-", "refstack-")
"""Start of the names of projects, users and groups of tests, without and with a prefix of the run."""


def purge(cloud: WholeCloud) -> Iterator[str]:
    """Remove it all; yields a line for each thing, saying whether it is gone."""
    admin = cloud.session()
    own = (*OWN_PROJECTS, *(user.name for user in cloud.contents.users))
    if admin.has("compute"):
        yield from _servers(admin)
    if admin.has("volume"):
        yield from _volumes(admin)
    if admin.has("network"):
        yield from _networks(admin, cloud)
    if admin.has("image"):
        yield from _images(admin, cloud.contents.images)
    for kind in ("users", "groups", "projects"):
        for each in admin.keystone("GET", f"/{kind}")[kind]:
            if each["name"].startswith(MADE_BY_TESTS) and each["name"] not in own:
                yield _tried(admin.keystone, f"/{kind}/{each['id']}")


def _images(admin: Session, own: tuple[str, ...]) -> Iterator[str]:
    images = admin.every("image", "/v2/images?limit=1000&visibility=all", "images")
    yield from _drop(admin, "image", "/v2/images", (each for each in images if each["id"] not in own))


def _servers(admin: Session) -> Iterator[str]:
    path = "/servers/detail?all_tenants=1"
    yield from _drop(admin, "compute", "/servers", admin.every("compute", path, "servers"))
    _await_none(admin, "compute", path, "servers")
    flavors = admin.every("compute", "/flavors/detail?is_public=None", "flavors")
    yield from _drop(admin, "compute", "/flavors", (each for each in flavors if each["name"] not in FLAVORS))
    groups = admin.every("compute", "/os-server-groups?all_projects=1", "server_groups")
    yield from _drop(admin, "compute", "/os-server-groups", groups)
    yield from _drop(admin, "compute", "/os-aggregates", admin.every("compute", "/os-aggregates", "aggregates"))


def _volumes(admin: Session) -> Iterator[str]:
    for name in ("backups", "snapshots", "volumes"):
        path = f"/{name}/detail?all_tenants=1"
        yield from _drop(admin, "volume", f"/{name}", admin.every("volume", path, name))
        _await_none(admin, "volume", path, name)
    types = admin.every("volume", "/types?is_public=None", "volume_types")
    kept = (BACKEND, "__DEFAULT__")
    yield from _drop(admin, "volume", "/types", (each for each in types if each["name"] not in kept))
    yield from _drop(admin, "volume", "/qos-specs", admin.every("volume", "/qos-specs", "qos_specs"))


def _networks(admin: Session, cloud: WholeCloud) -> Iterator[str]:
    own = {each["id"] for each in admin.keystone("GET", "/projects")["projects"] if each["name"] in _users(cloud)}
    spared = {"", cloud.contents.public_network}

    def others(name: str) -> Iterable[Any]:
        listed = admin.every("network", f"/v2.0/{name}", name.replace("-", "_"))
        return (each for each in listed if each["project_id"] not in own and each["id"] not in spared)

    yield from _drop(admin, "network", "/v2.0/floatingips", others("floatingips"))
    for router in others("routers"):
        _detach(admin, router["id"])
        yield from _drop(admin, "network", "/v2.0/routers", [router])
    for name in ("ports", "networks", "subnetpools", "address-scopes"):
        yield from _drop(admin, "network", f"/v2.0/{name}", others(name))
    groups = (each for each in others("security-groups") if each["name"] != "default")
    yield from _drop(admin, "network", "/v2.0/security-groups", groups)


def _users(cloud: WholeCloud) -> set[str]:
    return {user.name for user in cloud.contents.users}


def _detach(admin: Session, router: str) -> None:
    """Take a router off its networks, or Neutron refuses to delete it."""
    path = f"/v2.0/routers/{router}"
    admin.ask("PUT", "network", path, {"router": {"external_gateway_info": None, "routes": []}})
    for port in admin.every("network", f"/v2.0/ports?device_id={router}", "ports"):
        admin.ask("PUT", "network", f"{path}/remove_router_interface", {"port_id": port["id"]})


def _await_none(admin: Session, service: str, path: str, name: str) -> None:
    ports.wait(lambda: not admin.every(service, path, name), f"all {name} to be deleted", GONE_SECONDS)


def _drop(admin: Session, service: str, path: str, things: Iterable[Any]) -> Iterator[str]:
    for each in things:
        yield _tried(lambda method, where: admin.ask(method, service, where), f"{path}/{each['id']}")


def _tried(ask: Any, path: str) -> str:
    try:
        ask("DELETE", path)
    except CloudError as error:
        return f"kept    {path}: {error}"
    return f"removed {path}"
