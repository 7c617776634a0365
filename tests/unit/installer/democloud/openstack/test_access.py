"""Files by which people and programs log in."""

from __future__ import annotations

import json
import subprocess

from democloud.openstack import access
from democloud.openstack.contents import Contents, User

from tests.unit.installer.democloud.openstack.sites import site

USERS = Contents(users=(User("user1", "pa$$word", "user1"), User("user2", "other", "")))


def test_openrc_is_read_by_a_shell() -> None:
    _, account, _ = access.accounts(site(tls=True), USERS)
    script = access.openrc(account) + 'echo "$OS_USERNAME $OS_PASSWORD $OS_PROJECT_NAME $OS_CACERT"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "user1 pa$$word user1 /cloud/tls/ca.pem\n"


def test_clouds_yaml_has_every_account() -> None:
    clouds = json.loads(access.clouds_yaml(site(), USERS))["clouds"]
    assert list(clouds) == ["admin", "user1", "user2"]
    assert clouds["user2"]["auth"]["password"] == "other" and "cacert" not in clouds["user2"]


def test_accounts_yaml_has_ordinary_users_only() -> None:
    first, second = json.loads(access.accounts_yaml(USERS))
    assert first["resources"] == {"network": "user1"} and "resources" not in second
    assert {first["username"], second["username"]} == {"user1", "user2"} and first["roles"] == ["member"]
