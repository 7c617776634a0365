"""The users whom a cloud's owner gives to a vendor: members, an administrator of Swift, users of a directory."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.system.execute_test.conftest import Cloud

from democloud.api import Session  # isort: skip - found by what is imported above
from democloud.openstack.whole import WholeCloud  # isort: skip


@dataclass(frozen=True)
class Person:
    """A user with a project, which has the same name unless it is shared."""

    name: str
    password: str
    roles: tuple[str, ...] = ("member",)
    domain: str = "Default"
    """Of the user; the project is in ``Default``."""
    network: str = ""
    """Of the project, for its servers. Plain Tempest has to be given it; the product finds it."""
    shared_project: str = ""
    """A project that is there already, for several users."""

    @property
    def project(self) -> str:
        return self.shared_project or self.name

    def account(self) -> dict[str, Any]:
        """As Tempest's ``accounts.yaml`` has it."""
        return {"username": self.name, "password": self.password, "project_name": self.project,
                "user_domain_name": self.domain, "project_domain_name": "Default",
                "roles": list(self.roles)}  # fmt: skip

    def tempest_account(self) -> dict[str, Any]:
        """As a person writes it who knows the cloud."""
        return {**self.account(), **({"resources": {"network": self.network}} if self.network else {})}

    def identity(self, who: str = "") -> dict[str, Any]:
        """As the options of an ordinary user; ``who`` is ``alt_`` for the second one."""
        values = {name: value for name, value in self.account().items() if name != "roles"}
        return {f"{who}{name}": value for name, value in values.items()}


def create(cloud: Cloud | WholeCloud, people: Iterable[Person]) -> None:
    """Make the users with their projects and roles, and the domains that are missing."""
    admin = cloud.session()
    roles = {role["name"]: role["id"] for role in admin.keystone("GET", "/roles")["roles"]}
    domains = {one["name"]: one["id"] for one in admin.keystone("GET", "/domains")["domains"]}
    for person in people:
        if person.domain not in domains:
            created = admin.keystone("POST", "/domains", {"domain": {"name": person.domain}})
            domains[person.domain] = created["domain"]["id"]
        project_id = _project_of(person, admin, domains["Default"])
        user = {"user": {"name": person.name, "password": person.password, "domain_id": domains[person.domain]}}
        user_id = admin.keystone("POST", "/users", user)["user"]["id"]
        for role in person.roles:
            admin.keystone("PUT", f"/projects/{project_id}/users/{user_id}/roles/{roles[role]}")


def _project_of(person: Person, admin: Session, domain_id: str) -> str:
    if person.shared_project:
        return str(admin.keystone("GET", f"/projects?name={person.shared_project}")["projects"][0]["id"])
    project = {"project": {"name": person.name, "domain_id": domain_id}}
    return str(admin.keystone("POST", "/projects", project)["project"]["id"])


def several(prefix: str, count: int, roles: tuple[str, ...] = ("member",), domain: str = "Default") -> list[Person]:
    """Return people of one kind."""
    return [Person(f"{prefix}{at}", secrets.token_urlsafe(12), roles, domain) for at in range(1, count + 1)]
