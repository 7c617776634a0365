"""Finds what a configuration leaves open: region, projects, domains, services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.accounts import accounts_in, different_accounts, tempest_account
from refstack_worker.contract.cloud_needs import AREAS_OF_SERVICE, RESELLER_TESTS, Gap, Need
from refstack_worker.execute_test.cloud.catalog import (
    check_catalog,
    cloud_id,
    identity_interface,
    offered_services,
    offered_types,
    only_region,
    regions_of,
    set_region,
)
from refstack_worker.execute_test.cloud.keystone import (
    CloudUser,
    Keystone,
    KeystoneToken,
    administrator,
    ordinary_users,
    sensible_answers,
)
from refstack_worker.execute_test.cloud.service_types import PLUGIN_SERVICES
from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.http import Denied
from refstack_worker.execute_test.tempest.conf import Conf, is_true
from refstack_worker.execute_test.tempest.selection import Selection

OPERATOR_ROLES = ("member", "_member_", "swiftoperator")
"""Roles with which users have containers, in small letters; clouds name their everyday role differently."""
ROLE_OPTIONS = {"identity": ("admin_role",), "object-storage": ("operator_role",)}
DEFAULT_RESELLER_ROLE = "ResellerAdmin"
"""Tempest's own default for ``object-storage.reseller_admin_role``."""
TEMPEST_ROLES = ("admin", "manager", "member", "reader", DEFAULT_RESELLER_ROLE)
"""Roles that Tempest's tests ask for as they are spelled here."""
_NOTHING = Selection(())


@dataclass(frozen=True)
class Discovery:
    """What was found out about the cloud."""

    conf: Conf
    """Options that may fill gaps."""
    cpid: str
    """The id by which RefStack knows the cloud."""
    accounts: list[dict[str, Any]]
    """Ordinary users for Tempest's accounts file; empty when there is an administrator."""
    token: KeystoneToken
    """Of the administrator or the first user."""
    account_tokens: tuple[KeystoneToken, ...] = ()
    """Tokens of the accounts' users, in their order."""
    missing_services: tuple[str, ...] = ()
    """Services that the catalogue does not have."""
    gaps: tuple[Gap, ...] = ()
    """Roles that tests need and that the cloud does not have."""
    repeated: int = 0
    """How many accounts were left out: Tempest cannot tell them from another one."""


@sensible_answers()
def discover(conf: Mapping[str, Mapping[str, Any]], keystone: Keystone, selection: Selection = _NOTHING) -> Discovery:
    """Log in to the cloud and find missing options.

    :param selection: what the run selects; a role that Tempest uses by default is a gap only for tests that need it.
    :raises CloudFailure: the cloud cannot be reached, or rejects the credentials.
    :raises BadInput: there are no credentials.
    """
    admin = acting_administrator(conf)
    users = [admin] if admin else ordinary_users(conf) or list(filter(None, [administrator(conf)]))
    if not users:
        raise BadInput("conf_json: no credentials: set auth.admin_username and auth.admin_password, "
                       "or identity.username and identity.password")  # fmt: skip
    tokens = [keystone.log_in(user) for user in users]
    in_use = identity_interface(tokens[0], keystone.url)
    set_one = str(conf.get("identity", {}).get("v3_endpoint_type")).removesuffix("URL")
    check_catalog(tokens[0], {*tokens[0].interfaces.values(), in_use, set_one})
    role = str(conf.get("identity", {}).get("admin_role") or "admin")
    if not admin and not accounts_in(conf) and not _creates_no_users(conf) and tokens[0].has_role(role):
        admin = users[0]
    region = _region(conf, tokens[0], keystone.url)
    services = offered_services(tokens[0], region)
    identity = {"uri_v3": keystone.url, "region": region, "v3_endpoint_type": in_use}
    created: Conf = {
        "identity": {option: value for option, value in identity.items() if value},
        "service_available": {**services, **_missing_for_plugins(tokens[0], region), "horizon": False},
    }
    gaps: list[Gap] = []
    if admin:
        roles, are_all = _roles(keystone, tokens[0])
        created["auth"] = _administration(admin, tokens[0])
        created["object-storage"] = {"operator_role": usual[0]} if (usual := _usual_roles(roles)) else {}
        if are_all:
            gaps = _missing_roles(conf, roles, services["swift"])
            gaps += _missing_reseller(conf, roles, services["swift"], selection)
    else:
        created["auth"] = {}
        created["object-storage"] = _role_of_users(tokens)
    given = accounts_in(conf) or [{} for _ in users]
    spellings = [*TEMPEST_ROLES, *_roles_in(created), *_roles_in(conf)]
    accounts = [] if admin else [_account(*each, spellings) for each in zip(users, tokens, given)]
    different = different_accounts(accounts)
    missing = tuple(name for name, offered in services.items() if not offered)
    cpid = cloud_id(tokens[0], keystone.url)
    own_tokens = tuple(tokens[place] for place in different)
    return Discovery(
        created, cpid, [accounts[place] for place in different], tokens[0], own_tokens, missing, tuple(gaps),
        len(accounts) - len(different),
    )  # fmt: skip


def _missing_for_plugins(token: KeystoneToken, region: str) -> dict[str, bool]:
    """Return the services that cannot be called and whose plugins take them for granted."""
    return {name: False for name in PLUGIN_SERVICES if not offered_types(token, name, region)}


def acting_administrator(conf: Mapping[str, Mapping[str, Any]]) -> CloudUser | None:
    """Return the administrator, unless the tests are to use the accounts that there are, and to create none."""
    return None if _creates_no_users(conf) else administrator(conf)


def _creates_no_users(conf: Mapping[str, Mapping[str, Any]]) -> bool:
    dynamic = conf.get("auth", {}).get("use_dynamic_credentials")
    return dynamic is not None and not is_true(dynamic)


def _region(conf: Mapping[str, Mapping[str, Any]], token: KeystoneToken, url: str) -> str:
    """Return the region that was set, or the only one.

    :raises CloudFailure: the catalogue does not have it; Tempest would test another one without a word.
    """
    region = set_region(conf)
    known = regions_of(token)
    if region and known and region not in known:
        raise CloudFailure(f"the cloud's catalogue has no region {region}; it has {', '.join(known)[:300]}")
    return region or only_region(token, url)


def _administration(admin: CloudUser, token: KeystoneToken) -> dict[str, Any]:
    project = token.body.get("project", {})
    options = {
        "admin_username": admin.name or token.body.get("user", {}).get("name"),
        "admin_password": admin.password,
        "admin_project_name": project.get("name"),
        "admin_domain_name": token.body.get("user", {}).get("domain", {}).get("name"),
        "admin_project_domain_name": project.get("domain", {}).get("name"),
    }
    return {option: value for option, value in options.items() if value}


def _roles(keystone: Keystone, token: KeystoneToken) -> tuple[list[str], bool]:
    """Return the names of the cloud's roles, and whether these are all."""
    try:
        body = keystone.request("GET", "/roles", token.value) or {}
    except Denied:
        return [], False
    roles = [str(role.get("name")) for role in body.get("roles", [])]
    return roles, bool(roles) and not body.get("truncated")


def _usual_roles(roles: Sequence[str]) -> list[str]:
    """Return the roles with which users have containers, the most usual first. Keystone's names ignore case."""
    usual = [role for role in roles if role.lower() in OPERATOR_ROLES]
    return sorted(usual, key=lambda role: (OPERATOR_ROLES.index(role.lower()), role != role.lower()))


def _missing_roles(conf: Mapping[str, Mapping[str, Any]], roles: Sequence[str], has_swift: bool) -> list[Gap]:
    """Return the roles that were set and that the cloud does not have; also that there is none for containers."""
    areas: dict[str, tuple[str, ...]] = {"object-storage": AREAS_OF_SERVICE["swift"]}
    listed = f"The cloud's roles: {', '.join(sorted(roles))[:300]}"
    known = {role.lower() for role in roles}
    gaps = []
    for section, options in ROLE_OPTIONS.items():
        for option in options:
            role = str(conf.get(section, {}).get(option) or "")
            if role and role.lower() not in known:
                text = f"role: the cloud has no role {role} ({section}.{option}); tests that need it fail. {listed}"
                gaps.append(Gap(Need.OTHER, text, areas.get(section, ())))
    is_set = bool(conf.get("object-storage", {}).get("operator_role"))
    if has_swift and not is_set and not _usual_roles(roles):
        text = (
            "role: the cloud has no role member, with which users usually have containers; set "
            f"object-storage.operator_role to the one that they need, or tests of Swift fail. {listed}"
        )
        gaps.append(Gap(Need.OTHER, text, areas["object-storage"]))
    return gaps


def _missing_reseller(
    conf: Mapping[str, Mapping[str, Any]], roles: Sequence[str], has_swift: bool, selection: Selection
) -> list[Gap]:
    """Return the role of reseller administrators if the cloud does not have it, and it was set or is needed."""
    given = str(conf.get("object-storage", {}).get("reseller_admin_role") or "")
    role = given or DEFAULT_RESELLER_ROLE
    is_needed = given or (has_swift and selection.chosen_of(RESELLER_TESTS)[1])
    if not is_needed or role.lower() in {one.lower() for one in roles}:
        return []
    text = (
        f"role: the cloud has no role {role} (object-storage.reseller_admin_role); tests that need it are left out. "
        "Set the option to the role that Swift has for reseller administrators, or create the role. "
        f"The cloud's roles: {', '.join(sorted(roles))[:300]}"
    )
    return [Gap(Need.RESELLER, text, AREAS_OF_SERVICE["swift"])]


def _role_of_users(tokens: Sequence[KeystoneToken]) -> dict[str, Any]:
    """Return the role with which these users have containers: an ordinary one that they have themselves."""
    roles = [role for token in tokens for role in token.roles]
    usual = next(iter(_usual_roles(roles)), "")
    other = next((role for role in roles if role.lower() not in ("reader", "admin", "reselleradmin")), "")
    return {"operator_role": usual or other} if usual or other else {}


def _roles_in(conf: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the roles that a configuration names."""
    named = [conf.get(section, {}).get(option) for section, options in ROLE_OPTIONS.items() for option in options]
    named.append(conf.get("object-storage", {}).get("reseller_admin_role"))
    return [str(role) for role in named if role]


def _account(
    user: CloudUser, token: KeystoneToken, given: Mapping[str, Any], spellings: Sequence[str]
) -> dict[str, Any]:
    """Return an account for Tempest's file: what Keystone says of the user, over it what the vendor says.

    :param spellings: how Tempest asks for roles. It compares letter by letter, Keystone without regard to case.
    """
    project, person = token.body.get("project", {}), token.body.get("user", {})
    account = {"username": user.name or person.get("name"), "password": user.password,
               "project_name": project.get("name"), "user_domain_name": person.get("domain", {}).get("name"),
               "project_domain_name": project.get("domain", {}).get("name"), "roles": token.roles}  # fmt: skip
    stated = {name: value for name, value in given.items() if name in ("roles", "types", "network")}
    if token.has_role("admin"):
        account["types"] = ["admin"]
    account.update(stated)
    roles = account["roles"] if isinstance(account["roles"], list) else [account["roles"]]
    same = {str(role).lower() for role in roles}
    account["roles"] = list(dict.fromkeys([*roles, *(one for one in spellings if one.lower() in same)]))
    return tempest_account(account)
