"""What a new cloud holds: flavors, images, networks, a volume type and ordinary users."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import Any

from democloud import ports
from democloud.api import Session
from democloud.openstack.parts.volume import BACKEND
from democloud.openstack.shape import Site

DAEMONS_SECONDS = 180.0
MEMBER = "member"
FLAVORS = {"m1.nano": ("42", 128, 1), "m1.micro": ("43", 192, 2)}
"""Name to id, memory in MiB and disk in GiB."""
IMAGES = ("cirros", "cirros-alt")
IMAGE_BYTES = 1 << 20
COMPUTE = {"nova-compute", "nova-conductor", "nova-scheduler"}
VOLUME = {"cinder-volume", "cinder-scheduler"}


@dataclass(frozen=True)
class User:
    """An ordinary user with a project of the same name."""

    name: str
    password: str
    network: str
    """Name of the project's network; empty where the cloud has none."""


@dataclass(frozen=True)
class Contents:
    images: tuple[str, ...] = ()
    """Their ids."""
    public_network: str = ""
    """Its id."""
    users: tuple[User, ...] = ()


def fill(site: Site, admin: Session) -> Contents:
    """Make what :class:`Contents` lists, as far as the cloud's shape has it."""
    shape = site.shape
    if shape.has("compute"):
        _make_flavors(admin)
    if shape.has("volume"):
        kind = {"name": BACKEND, "extra_specs": {"volume_backend_name": BACKEND}}
        admin.ask("POST", "volume", "/types", {"volume_type": kind})
    images = tuple(_make_image(admin, name) for name in IMAGES) if shape.images and shape.has("image") else ()
    public = _make_public_network(site, admin) if shape.routed else ""
    return Contents(images, public, tuple(_make_user(site, admin, number, public) for number in range(shape.users)))


def await_daemons(site: Site, admin: Session) -> None:
    """Return when Nova and Cinder call all their daemons up.

    :raises CloudError: that takes too long.
    """
    for service, wanted in (("compute", COMPUTE), ("volume", VOLUME)):
        if site.shape.has(service):
            what = f"{', '.join(sorted(wanted))} to start"
            ports.wait(lambda s=service, w=wanted: w <= _up(admin, s), what, DAEMONS_SECONDS)  # type: ignore[misc]


def _up(admin: Session, service: str) -> set[str]:
    listed = admin.ask("GET", service, "/os-services")["services"]
    return {str(each["binary"]) for each in listed if each["state"] == "up"}


def _make_flavors(admin: Session) -> None:
    for name, (key, memory, disk) in FLAVORS.items():
        flavor = {"id": key, "name": name, "ram": memory, "vcpus": 1, "disk": disk}
        admin.ask("POST", "compute", "/flavors", {"flavor": flavor})


def _make_image(admin: Session, name: str) -> str:
    image = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    key = str(admin.ask("POST", "image", "/v2/images", image)["id"])
    admin.upload(f"{admin.endpoint('image')}/v2/images/{key}/file", os.urandom(IMAGE_BYTES))
    return key


def _make_public_network(site: Site, admin: Session) -> str:
    network = {"name": "public", "router:external": True, "provider:network_type": "flat",
               "provider:physical_network": "public"}  # fmt: skip
    key = str(admin.ask("POST", "network", "/v2.0/networks", {"network": network})["network"]["id"])
    addresses = {"cidr": f"{site.floating}.0/24", "gateway_ip": f"{site.floating}.1", "enable_dhcp": False}
    subnet = {"name": "public", "network_id": key, "ip_version": 4, **addresses}
    admin.ask("POST", "network", "/v2.0/subnets", {"subnet": subnet})
    return key


def _make_user(site: Site, admin: Session, number: int, public: str) -> User:
    name, password = f"user{number + 1}", secrets.token_urlsafe(18)
    made = {"name": name, "domain_id": "default"}
    project = admin.keystone("POST", "/projects", {"project": made})["project"]["id"]
    user = admin.keystone("POST", "/users", {"user": {**made, "password": password}})["user"]["id"]
    role = admin.keystone("GET", f"/roles?name={MEMBER}")["roles"][0]["id"]
    admin.keystone("PUT", f"/projects/{project}/users/{user}/roles/{role}")
    network = _make_network(admin, name, project, number, public) if site.shape.has("network") else ""
    return User(name, password, network)


def _make_network(admin: Session, name: str, project: str, number: int, public: str) -> str:
    owned: dict[str, Any] = {"name": name, "project_id": project}
    network = admin.ask("POST", "network", "/v2.0/networks", {"network": owned})["network"]["id"]
    addresses = {"network_id": network, "ip_version": 4, "cidr": f"10.77.{number}.0/24"}
    subnet = admin.ask("POST", "network", "/v2.0/subnets", {"subnet": {**owned, **addresses}})["subnet"]["id"]
    if public:
        router = {**owned, "external_gateway_info": {"network_id": public}}
        router = admin.ask("POST", "network", "/v2.0/routers", {"router": router})["router"]
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        admin.ask("PUT", "network", path, {"subnet_id": subnet})
    return name
