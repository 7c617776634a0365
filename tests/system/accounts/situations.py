"""What vendors have: an administrator, many users, two, one; and Tempest on its own with the same."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.system.accounts import people
from tests.system.accounts.people import Person
from tests.system.execute_test.conftest import Cloud

from democloud.openstack.whole import WholeCloud  # isort: skip - found by what is imported above


@dataclass(frozen=True)
class Situation:
    """The accounts of one vendor, and how the run is asked for."""

    name: str
    about: str
    people: tuple[Person, ...] = ()
    """No accounts: the administrator."""
    as_file: bool = False
    """Given as ``accounts.yaml``, not as one or two users."""
    concurrency: int = 0
    """0: left to the program."""
    operator_role: str = "member"
    """What a person has to set for plain Tempest; the product finds it."""

    def conf(self, cloud: Cloud | WholeCloud) -> dict[str, Any]:
        """What the vendor gives the product: an address and the users, no more."""
        identity: dict[str, Any] = {"uri_v3": cloud.auth_url}
        if not self.people:
            auth = {"admin_username": cloud.admin_user, "admin_password": cloud.admin_password}
            return {"identity": identity, "auth": auth}
        if not self.as_file:
            for who, person in zip(("", "alt_"), self.people):
                identity.update(person.identity(who))
        return {"identity": identity}

    def words(self, folder: Path) -> list[str]:
        """The options of the call."""
        words = ["--concurrency", str(self.concurrency)] if self.concurrency else []
        if self.as_file:
            path = folder / "accounts.yaml"
            path.write_text(json.dumps([person.account() for person in self.people]))
            words += ["--accounts-file", str(path)]
        return words

    def plain_conf(self, cloud: Cloud | WholeCloud, folder: Path) -> dict[str, dict[str, Any]]:
        """The ``tempest.conf`` that a person writes for the same accounts."""
        conf = cloud.tempest_conf()
        if not isinstance(cloud, WholeCloud):
            conf["service_available"] = dict.fromkeys(("nova", "glance", "cinder", "neutron"), False) | {"swift": True}
        conf["oslo_concurrency"] = {"lock_path": str(folder)}
        if self.people:
            path = folder / "accounts.yaml"
            path.write_text(json.dumps([person.tempest_account() for person in self.people]))
            conf["auth"] = {"use_dynamic_credentials": False, "test_accounts_file": str(path)}
            conf["object-storage"]["operator_role"] = self.operator_role
        return conf


@dataclass(frozen=True)
class Crowd:
    """Everybody who is needed for all situations."""

    members: tuple[Person, ...] = field(default_factory=lambda: tuple(people.several("member-", 8)))
    reseller: Person = field(default_factory=lambda: people.several("reseller-", 1, ("member", "ResellerAdmin"))[0])
    operators: tuple[Person, ...] = field(
        default_factory=lambda: tuple(people.several("operator-", 2, ("swiftoperator",)))
    )
    directory: tuple[Person, ...] = field(default_factory=lambda: tuple(people.several("ldap-", 2, domain="ldap")))

    def everybody(self) -> list[Person]:
        return [*self.members, self.reseller, *self.operators, *self.directory]

    def situations(self) -> list[Situation]:
        """All that is compared."""
        many = (*self.members, self.reseller)
        return [
            Situation("administrator", "an administrator"),
            Situation("accounts-2", "8 members and a reseller administrator, 2 processes", many, True, 2),
            Situation("accounts-4", "the same, 4 processes", many, True, 4),
            Situation("two-users", "two users, all by default", self.members[:2]),
            Situation("one-user", "one user, all by default", self.members[:1]),
            Situation("swiftoperator", "two users with the role swiftoperator alone", self.operators,
                      operator_role="swiftoperator"),
            Situation("other-domain", "two users of the domain ldap, their projects in Default", self.directory),
        ]  # fmt: skip


WHOLE_SITUATIONS = ("projects", "users")
"""Names of what :func:`with_whole_cloud` returns."""


def with_whole_cloud(cloud: WholeCloud) -> list[Situation]:
    """What is compared on a whole cloud: ordinary users with a project and a network each, or two in each project.

    Tempest 47 asks for a member and a reader of the same project in most classes for Nova and Neutron. The second users
    of the projects are made here.
    """
    alone = tuple(Person(one.name, one.password, network=one.network) for one in cloud.contents.users)
    both = ("member", "reader")
    half = alone[: len(alone) // 2]
    first = tuple(replace(one, roles=both) for one in half)
    second = tuple(Person(f"{one.name}-second", secrets.token_urlsafe(12), both, network=one.network,
                          shared_project=one.name) for one in half)  # fmt: skip
    people.create(cloud, second)
    return [
        Situation("projects", f"{len(alone)} users, two in each project, 2 processes", (*first, *second), True, 2),
        Situation("users", f"{len(alone)} users, each with a project, 2 processes", alone, True, 2),
    ]
