"""How people and programs log in: openrc files, clouds.yaml, and Tempest's accounts.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from democloud.api import REGION, Account
from democloud.openstack.contents import MEMBER, Contents
from democloud.openstack.shape import Site


def administrator(site: Site) -> Account:
    """The administrator, in the project ``admin``."""
    return Account(site.auth_url, "admin", site.passwords["admin"], "admin", site.ca_file)


def accounts(site: Site, contents: Contents) -> Iterator[Account]:
    """The administrator, then the ordinary users."""
    yield administrator(site)
    for user in contents.users:
        yield Account(site.auth_url, user.name, user.password, user.name, site.ca_file)


def write(site: Site, contents: Contents) -> None:
    """Write ``openrc`` (the administrator's), ``openrc-<user>``, ``clouds.yaml`` and ``accounts.yaml``."""
    for account in accounts(site, contents):
        name = "openrc" if account.user == "admin" else f"openrc-{account.user}"
        _write(site.folder / name, openrc(account))
    _write(site.folder / "clouds.yaml", clouds_yaml(site, contents))
    _write(site.folder / "accounts.yaml", accounts_yaml(contents))


def openrc(account: Account) -> str:
    """Shell lines that put one account into the environment."""
    values = {
        "OS_AUTH_URL": account.auth_url,
        "OS_USERNAME": account.user,
        "OS_PASSWORD": account.password,
        "OS_PROJECT_NAME": account.project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": REGION,
        "OS_IDENTITY_API_VERSION": "3",
        **({"OS_CACERT": account.ca_file} if account.ca_file else {}),
    }
    return "".join(f"export {name}='{value}'\n" for name, value in values.items())


def clouds_yaml(site: Site, contents: Contents) -> str:
    """All accounts in the form that openstacksdk reads; JSON is YAML too."""
    return json.dumps({"clouds": {each.user: _cloud(each) for each in accounts(site, contents)}}, indent=1) + "\n"


def accounts_yaml(contents: Contents) -> str:
    """The ordinary users in the form of Tempest's ``test_accounts_file``."""
    return json.dumps([_tempest_account(user) for user in contents.users], indent=1) + "\n"


def _cloud(account: Account) -> dict[str, Any]:
    auth = {"auth_url": account.auth_url, "username": account.user, "password": account.password,
            "project_name": account.project, "user_domain_name": "Default",
            "project_domain_name": "Default"}  # fmt: skip
    trust = {"cacert": account.ca_file} if account.ca_file else {}
    return {"auth": auth, "region_name": REGION, "identity_api_version": "3", **trust}


def _tempest_account(user: Any) -> dict[str, Any]:
    network = {"resources": {"network": user.network}} if user.network else {}
    return {"username": user.name, "password": user.password, "project_name": user.name, "domain_name": "Default",
            "roles": [MEMBER], **network}  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
