"""What there is in a cloud, in all its services and projects, seen by the administrator: before a run and after it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from democloud.api import Session

Census = dict[str, list[str]]

IDENTITY = ("projects", "users", "roles", "domains", "groups", "services")
"""What Keystone knows by name; names are unique there."""

OTHERS: Mapping[str, Mapping[str, str]] = {
    "identity": {name: f"/{name}" for name in ("regions", "endpoints", "credentials", "policies")},
    "compute": {
        "servers": "/servers/detail?all_tenants=1",
        "server_groups": "/os-server-groups?all_projects=1",
        "flavors": "/flavors/detail?is_public=None",
        "aggregates": "/os-aggregates",
    },
    "network": {
        name: f"/v2.0/{name.replace('_', '-')}"
        for name in (
            "networks", "subnets", "ports", "routers", "floatingips", "security_groups", "subnetpools",
            "address_scopes", "rbac_policies",
        )
    },
    "image": {"images": "/v2/images?limit=1000&visibility=all"},
    "volume": {
        "volumes": "/volumes/detail?all_tenants=1",
        "snapshots": "/snapshots/detail?all_tenants=1",
        "backups": "/backups/detail?all_tenants=1",
        "groups": "/groups/detail?all_tenants=1",
        "volume_types": "/types?is_public=None",
        "qos_specs": "/qos-specs",
    },
}  # fmt: skip
"""Service to the lists that it has, and their paths; resources are distinguished by name and id."""


class Counted(Protocol):
    """The small cloud, or the whole one."""

    folder: Path

    def session(self) -> Session:
        """Log in as the administrator."""


def census(cloud: Counted) -> Census:
    """Everything in a cloud, kind by kind; where a name is not unique, the id follows it."""
    admin = cloud.session()
    found = {kind: sorted(each["name"] for each in admin.keystone("GET", f"/{kind}")[kind]) for kind in IDENTITY}
    found["containers"] = containers_on_disk(cloud.folder)
    for service, kinds in OTHERS.items():
        if admin.has(service):
            found.update({_kind(service, name): _listed(admin, service, name, path) for name, path in kinds.items()})
    if admin.has("compute"):
        found["keypairs"] = _keypairs(admin)
    return found


def added(before: Census, after: Census) -> Census:
    """What there is now and was not before, kind by kind."""
    return {kind: sorted(set(after[kind]) - set(before[kind])) for kind in before}


def project_names(cloud: Counted) -> dict[str, str]:
    """Id of each project that Keystone has to its name."""
    return {each["id"]: each["name"] for each in cloud.session().keystone("GET", "/projects")["projects"]}


def containers_on_disk(folder: Path) -> list[str]:
    """``account/container`` of all containers that there are, also of projects that are gone.

    From the container server's own files: the account's listing is brought up to date later, after the answer. Accounts
    that begin with a dot are Swift's own, such as the queue of objects that expire.
    """
    names = []
    for path in (folder / "swift" / "devices").glob("d1/containers/*/*/*/*.db"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            question = "SELECT account, container FROM container_info WHERE put_timestamp > delete_timestamp"
            listed = database.execute(question)
            names += [f"{account}/{container}" for account, container in listed if not account.startswith(".")]
    return sorted(names)


def _listed(admin: Session, service: str, name: str, path: str) -> list[str]:
    return sorted(_described(each) for each in admin.every(service, path, name))


def _described(each: Mapping[str, Any]) -> str:
    return f"{each.get('name') or ''} {each['id']}".strip()


def _kind(service: str, name: str) -> str:
    # Keystone has groups too
    return "volume_groups" if (service, name) == ("volume", "groups") else name


def _keypairs(admin: Session) -> list[str]:
    """Nova lists keypairs by user only."""
    found = []
    for user in admin.keystone("GET", "/users")["users"]:
        listed = admin.ask("GET", "compute", f"/os-keypairs?user_id={user['id']}")["keypairs"]
        found += [f"{user['name']}/{each['keypair']['name']}" for each in listed]
    return sorted(found)
