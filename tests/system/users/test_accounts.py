"""A vendor without an administrator: the cloud keeps the accounts, and what they are too few for is shown before a run.

Everything goes through the commands, against a real Keystone and a real Swift.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Answer
from tests.support.standalone import GUIDELINE, TEMPEST, Standalone, guideline_file, standalone
from tests.system.accounts import people
from tests.system.accounts.people import Person
from tests.system.execute_test.conftest import Cloud, Options, cache_folder

BY_PROGRAM = ("--guideline", GUIDELINE, "--program", "Storage")
MEMBERS = people.several("kept-", 5)
RESELLER = people.several("kept-reseller-", 1, ("member", "ResellerAdmin"))
NOT_WITHOUT_ADMINISTRATOR = {"test_list_containers_with_marker"}
"""Tests that Tempest itself skips with accounts that were prepared."""


@dataclass
class Vendor:
    """A user with a token and a cloud, and no administrator in it."""

    queue: Standalone
    token: Path
    cloud: Cloud
    folder: Path

    def call(self, *words: str, **environment: str) -> Answer:
        return self.queue.command(*words, token_file=self.token, **environment)

    def accounts_file(self, *given: Person) -> str:
        path = self.folder / f"accounts-{len(given)}.yaml"
        path.touch(mode=0o600)
        path.write_text(json.dumps([person.account() for person in given]))
        return str(path)

    def lacks(self, cloud: int) -> dict[str, Any]:
        """The warnings before a run of the program, with the version that fits it."""
        found = self.call("run", "create", "--cloud", str(cloud), *BY_PROGRAM, "--check", "-f", "json").json()
        assert f"with Tempest {TEMPEST}" in found["outlook"], found
        return dict(found)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    file = guideline_file()
    base = tmp_path_factory.mktemp("accounts")
    with Cloud(base / "cloud", Options(cache_folder())) as cloud, standalone(base) as queue:
        people.create(cloud, [*MEMBERS, *RESELLER])
        assert queue.command("guideline", "add", str(file)).status == 0
        yield Vendor(queue, queue.user("ann", "Acme Cloud"), cloud, base)


def test_accounts_are_kept_judged_beforehand_and_enough(vendor: Vendor) -> None:
    address = vendor.cloud.auth_url.removesuffix("/v3")
    file = vendor.accounts_file(MEMBERS[0])
    made = vendor.call("cloud", "create", "Kept", address, "--accounts-file", file, "-f", "json").json()
    assert made["accounts"] == 1 and made["check"].startswith("good: ") and "object-store" in made["check"], made
    found = vendor.lacks(made["id"])
    (warning,) = [one for one in found["warnings"] if "administrator" in one]
    assert "16 of 58 tests need two accounts and 2 need an account with ResellerAdmin" in warning
    assert "one test at a time" in found["outlook"]

    file = vendor.accounts_file(*MEMBERS, *RESELLER)
    changed = vendor.call("cloud", "update", str(made["id"]), "--accounts-file", file, "-f", "json")
    assert changed.json()["accounts"] == 6, changed
    found = vendor.lacks(made["id"])
    assert not [one for one in found["warnings"] if "account" in one]
    assert "at most 3 tests at a time" in found["outlook"]

    created = vendor.call("run", "create", "--cloud", str(made["id"]), *BY_PROGRAM, "-f", "json").json()
    watched = vendor.call("run", "watch", str(created["test_id"]), "--lines")
    report = vendor.call("run", "report", str(created["test_id"]), "-f", "json").out
    assert watched.status == 0, f"{report}{watched.out}{watched.err}\n{vendor.queue.logs()}"
    told = json.loads(vendor.call("run", "verdict", str(created["test_id"]), "--json").out)
    lacking = [test for one in told["required"]["capabilities"] for test in one["lacking"]]
    assert {test["name"].rpartition(".")[2] for test in lacking} <= NOT_WITHOUT_ADMINISTRATOR, lacking
    for person in (*MEMBERS, *RESELLER):
        assert person.password not in vendor.queue.logs()


def test_a_cloud_of_an_openrc_file_with_two_domains(vendor: Vendor) -> None:
    (person,) = people.several("ldap-kept-", 1, domain="ldap")
    people.create(vendor.cloud, [person])
    openrc = {"AUTH_URL": vendor.cloud.auth_url.removesuffix("/v3") + "/v2.0/", "USERNAME": person.name,
              "PASSWORD": person.password, "PROJECT_NAME": person.name, "USER_DOMAIN_NAME": "ldap",
              "PROJECT_DOMAIN_ID": "default"}  # fmt: skip
    variables = {f"OS_{name}": value for name, value in openrc.items()}
    made = vendor.call("cloud", "create", "Of an openrc", "--keep-password", "-f", "json", **variables)
    assert made.status == 0, made.err
    assert made.json()["check"].startswith("good: "), made.json()
    one = "tempest.api.object_storage.test_container_services.ContainerTest.test_create_container"
    words = ("--tempest-version", TEMPEST, "--testcases", one, "--cloud", str(made.json()["id"]), "-f", "json")
    number = str(vendor.call("run", "create", *words).json()["test_id"])
    watched = vendor.call("run", "watch", number, "--lines")
    assert watched.status == 0, f"{watched.out}{watched.err}\n{vendor.queue.logs()}"
