"""The verdict of guideline 2020.06, OpenStack Powered Storage, about a real Keystone and a real Swift.

Everything goes through the commands that a vendor has. What the verdict has to name is taken from the file of the
guideline itself, by the modules that its tests are in, not by the product's reader of guidelines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.standalone import GUIDELINE, POWERED_STORAGE, TEMPEST, Standalone, guideline_file, standalone
from tests.system.accounts import people
from tests.system.execute_test.conftest import Cloud, Options, cache_folder

REQUIRED_TESTS = 58
"""Different ones; two of them stand in two capabilities."""

NEEDED_BY = {
    "slo": {f"test_object_slo.ObjectSloTest.test_{name}" for name in (
        "delete_large_object", "list_large_object_metadata", "retrieve_large_object", "upload_manifest"
    )},
    "container-quotas": {f"test_container_quotas.ContainerQuotasTest.test_{name}" for name in (
        "upload_large_object", "upload_too_many_objects"
    )},
    "account-quotas": {"test_account_quotas_negative.AccountQuotasNegativeTest.test_user_modify_quota"},
    "versioned_writes": {"test_object_version.ContainerTest.test_versioned_container"},
}  # fmt: skip
"""Middleware to the required tests that a Swift without it cannot pass: the table in ``docs/users.md``. Tests that
upload what a quota would allow pass where no quota is heeded."""

Names = set[tuple[str, str]]
"""Capability and test."""


@dataclass
class Vendor:
    """A user with a token, a cloud, and a file of options for it."""

    queue: Standalone
    token: Path
    cloud: Cloud
    conf: Path
    required: Names = field(default_factory=set)

    def run(self, conf: dict[str, Any] | None = None) -> str:
        """Run what the program requires to its end; return the number of the run."""
        self.conf.write_text(json.dumps(conf or self.cloud.tempest_conf()))
        words = ["--tempest-version", TEMPEST, "--conf-json", f"@{self.conf}", "--guideline", GUIDELINE]
        made = self.call("run", "create", *words, "--program", POWERED_STORAGE, "-f", "json").json()
        number = str(made["test_id"])
        watched = self.call("run", "watch", number, "--lines")
        assert watched.status in (0, 1), f"{watched.out}{watched.err}\n{self.queue.logs()}"
        return number

    def verdict(self, number: str) -> tuple[int, dict[str, Any]]:
        """Return the exit status and the output."""
        answer = self.call("run", "verdict", number, "--json")
        return answer.status, json.loads(answer.out)

    def call(self, *words: str) -> Any:
        return self.queue.command(*words, token_file=self.token)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    file = guideline_file()
    base = tmp_path_factory.mktemp("verdict")
    with Cloud(base / "cloud", Options(cache_folder())) as cloud, standalone(base) as queue:
        conf = base / "conf.json"
        conf.touch(mode=0o600)
        made = Vendor(queue, queue.user("ann", "Acme Cloud"), cloud, conf, required_by(file))
        added = made.call("guideline", "add", str(file))
        assert added.status == 0, added.err
        yield made


@pytest.fixture
def without(request: pytest.FixtureRequest, vendor: Vendor) -> Iterator[str]:
    """Switch one middleware of the Swift off for a test."""
    vendor.cloud.stop_swift()
    vendor.cloud.start_swift((request.param,))
    yield request.param
    vendor.cloud.stop_swift()
    vendor.cloud.start_swift()


def required_by(file: Path) -> Names:
    whole = json.loads(file.read_text("utf-8"))
    (part,) = whole["platforms"][POWERED_STORAGE]["components"]
    capabilities = whole["components"][part["name"]]["capabilities"]["required"]
    return {(name, test) for name in capabilities for test in whole["capabilities"][name]["tests"]}


def lacking(told: dict[str, Any], status: str) -> Names:
    """Return what a verdict names; all of it has to have this status."""
    found = [(one["name"], test) for one in told["required"]["capabilities"] for test in one["lacking"]]
    assert {test["status"] for _, test in found} == {status}
    return {(capability, test["name"]) for capability, test in found}


def needing(vendor: Vendor, middleware: str) -> Names:
    tests = {f"tempest.api.object_storage.{name}" for name in NEEDED_BY[middleware]}
    found = {pair for pair in vendor.required if pair[1] in tests}
    assert {test for _, test in found} == tests, "the guideline does not require them"
    return found


def test_every_required_test_is_accounted_for(vendor: Vendor) -> None:
    number = vendor.run()
    status, told = vendor.verdict(number)
    assert (status, told["passed"], told["program"]) == (0, True, POWERED_STORAGE)
    assert (told["required"]["passed"], told["required"]["total"]) == (REQUIRED_TESTS, REQUIRED_TESTS)
    assert not [one["lacking"] for one in told["required"]["capabilities"] if one["lacking"]]
    # each test of the file ran, and passed, under the name that the file has
    result = vendor.queue.folder.parent / "result.json"
    assert vendor.call("run", "export", number, "json", str(result)).status == 0
    passed = {test["name"] for test in json.loads(result.read_text())["tests"] if test["status"] == "passed"}
    assert passed == {test for _, test in vendor.required} and len(passed) == REQUIRED_TESTS


@pytest.mark.parametrize("without", list(NEEDED_BY), indirect=True)
def test_a_middleware_that_is_off_is_named_by_exactly_its_tests(vendor: Vendor, without: str) -> None:
    wanted = needing(vendor, without)
    number = vendor.run()
    status, told = vendor.verdict(number)
    assert (status, told["passed"]) == (1, False)
    assert lacking(told, "failed") == wanted
    assert told["required"]["passed"] == REQUIRED_TESTS - len(wanted)
    # the same for a person
    said = vendor.call("run", "verdict", number).out.splitlines()
    assert set(said[2:]) == {f"{capability}: failed: {test}" for capability, test in wanted}


@pytest.mark.parametrize("without", ["slo"], indirect=True)
def test_what_a_cloud_says_it_has_not_is_skipped_and_lacks_all_the_same(vendor: Vendor, without: str) -> None:
    conf = vendor.cloud.tempest_conf()
    features = conf["object-storage-feature-enabled"]
    features["discoverable_apis"] = [name for name in features["discoverable_apis"] if name != without]
    status, told = vendor.verdict(vendor.run(conf))
    assert (status, told["passed"]) == (1, False)
    assert lacking(told, "skipped") == needing(vendor, without)


WANTING = {
    "test_account_quotas.AccountQuotasTest.test_upload_valid_object": "two accounts (roles: member, ResellerAdmin)",
    "test_account_quotas_negative.AccountQuotasNegativeTest.test_user_modify_quota": "ResellerAdmin",
    "test_account_services.AccountTest.test_list_containers_with_marker": "without an administrator",
}
"""Required tests that two ordinary users are not enough for, and what the verdict says of each."""


def test_two_ordinary_users_are_told_what_they_are_too_few_for(vendor: Vendor) -> None:
    two = people.several("two-", 2)
    people.create(vendor.cloud, two)
    identity = {"uri_v3": vendor.cloud.auth_url, **two[0].identity(), **two[1].identity("alt_")}
    status, told = vendor.verdict(vendor.run({"identity": identity}))
    assert (status, told["passed"]) == (1, False)
    assert len({test for _, test in lacking(told, "skipped")}) == len(WANTING)
    assert told["required"]["passed"] == REQUIRED_TESTS - len(WANTING)
    tests = [test for one in told["required"]["capabilities"] for test in one["lacking"]]
    reasons = {test["name"].partition("object_storage.")[2]: test["reason"] for test in tests}
    assert set(reasons) == set(WANTING)
    for name, reason in WANTING.items():
        assert reason in reasons[name]
