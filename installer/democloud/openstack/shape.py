"""What a whole cloud is made of: the choices that a caller has, and the addresses and secrets that follow from them."""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from democloud import ports
from democloud.ports import CloudError

SERVICES = ("identity", "object-store", "image", "compute", "network", "volume")
SMALL = frozenset({"identity", "object-store"})
"""What the small cloud can do without MariaDB and RabbitMQ."""
VOLUME_TYPES = ("volumev3", "block-storage")
"""Names under which a catalogue lists Cinder's version 3; clouds have one of them, or both."""
RELEASES = ("2025.1", "2026.1", "2023.1")
FLOATING = "172.24"
"""First half of the floating addresses; the third number is drawn for each cloud."""


@dataclass(frozen=True)
class Shape:
    """How a whole cloud is to look."""

    services: tuple[str, ...] = SERVICES
    release: str = RELEASES[0]
    catalog_volume: tuple[str, ...] = VOLUME_TYPES
    second_region: str = ""
    """Name of another region in the catalogue, whose services do not run."""
    public_network: bool = True
    floating_ips: bool = True
    images: bool = True
    ssh: bool = True
    """Servers answer by SSH on their floating addresses."""
    quota: int = 0
    """Servers, cores, volumes, networks … that each project may have; 0 leaves the services' defaults."""
    users: int = 0
    """Ordinary users, each with a project and a network."""
    tls: bool = False
    """Public addresses use HTTPS with a certificate of a private CA."""
    workers: int = 2
    """Processes of each API."""

    def __post_init__(self) -> None:
        _only(self.services, SERVICES, "service")
        _only(self.catalog_volume, VOLUME_TYPES, "service type of Cinder")
        _only((self.release,), RELEASES, "release")
        if "identity" not in self.services:
            raise CloudError("a cloud without identity cannot be used; leave out other services")

    def has(self, service: str) -> bool:
        """Whether a service, such as ``compute``, is part of the cloud."""
        return service in self.services

    @property
    def routed(self) -> bool:
        """Whether servers can get floating addresses."""
        return self.has("network") and self.public_network and self.floating_ips


@dataclass(frozen=True)
class Site:
    """One cloud: its folder, the ports it listens on, its secrets."""

    folder: Path
    shape: Shape
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    floating: str
    """The first three numbers of the floating addresses."""

    @property
    def auth_url(self) -> str:
        return self.public("identity") + "/v3"

    @property
    def inner_auth_url(self) -> str:
        """Keystone's address for the other services, never with TLS."""
        return self.inner("identity") + "/v3"

    @property
    def ca_file(self) -> str:
        """Certificate of the private CA; empty without TLS."""
        return str(self.folder / "tls" / "ca.pem") if self.shape.tls else ""

    def public(self, service: str) -> str:
        """The address of a service for its users."""
        tls = self.shape.tls
        return f"http{'s' if tls else ''}://127.0.0.1:{self.ports[f'{service}-tls' if tls else service]}"

    def inner(self, service: str) -> str:
        """The address of a service for the other services."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def database(self, name: str) -> str:
        """SQLAlchemy's address of one of the databases."""
        socket = f"{self.folder}/database.sock"
        password = self.passwords["database"]
        return f"mysql+pymysql://openstack:{password}@localhost/{name}?unix_socket={socket}&charset=utf8mb4"

    @property
    def transport(self) -> str:
        return f"rabbit://openstack:{self.passwords['messages']}@127.0.0.1:{self.ports['messages']}/"

    def as_json(self) -> dict[str, Any]:
        """Everything, in a form that :meth:`from_json` reads."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Site:
        """Take over what :meth:`as_json` wrote."""
        shape: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in saved["shape"].items()
        }
        return cls(**{**saved, "folder": Path(saved["folder"]), "shape": Shape(**shape)})


PORTS = ("identity", "object-store", "image", "placement", "compute", "network", "volume")
INNER_PORTS = ("messages", "messages-nodes", "epmd", "memcached", "swift-account", "swift-container", "swift-object")


def draw(folder: Path, shape: Shape) -> Site:
    """Draw free ports, secrets and floating addresses for a cloud below ``folder``."""
    names = [*PORTS, *INNER_PORTS, "closed", *(f"{name}-tls" for name in PORTS)]
    numbers = dict(zip(names, ports.free(len(names))))
    passwords = {name: secrets.token_urlsafe(18) for name in ("admin", "service", "database", "messages")}
    return Site(folder, shape, numbers, passwords, _floating())


def _floating() -> str:
    """Draw a network that the machine has no route to."""
    routes = [line.split()[1] for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    taken = {socket.inet_ntoa(bytes.fromhex(route)[::-1]).rpartition(".")[0] for route in routes}
    free = [network for network in (f"{FLOATING}.{number}" for number in range(4, 250)) if network not in taken]
    if not free:
        raise CloudError(f"no free network within {FLOATING}.0.0/16 for floating addresses")
    return random.choice(free)  # noqa: S311  # nosec B311 - two at once shall differ; no secret


def _only(values: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    wrong = [value for value in values if value not in known]
    if wrong:
        raise CloudError(f"unknown {what}: {', '.join(wrong)}; known: {', '.join(known)}")
