"""What is found out about a cloud from its Keystone and its catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.contract.cloud_needs import impossible
from refstack_worker.execute_test.cloud.discovery import Discovery, discover
from refstack_worker.execute_test.cloud.keystone import Keystone
from refstack_worker.execute_test.tempest.selection import Selection
from tests.support.recorded_cloud import PASSWORD, RecordedCloud, recorded_cloud


@pytest.fixture
def cloud() -> Iterator[RecordedCloud]:
    with recorded_cloud("admin") as running:
        yield running


def discovered(cloud: RecordedCloud, **given: dict[str, Any]) -> Discovery:
    conf = {**cloud.conf, **given}
    conf["identity"] = {**cloud.conf["identity"], **given.get("identity", {})}
    return discover(conf, Keystone(conf))


def test_a_service_in_a_region_of_its_own_is_there(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
            endpoint.update(region="R2", region_id="R2")
    assert discovered(cloud).conf["service_available"]["swift"] is False
    for region in ({}, {"region": "RegionOne"}):
        found = discovered(cloud, identity=region, **{"object-storage": {"region": "R2"}})
        assert found.conf["service_available"]["swift"] is True and found.missing_services == ()
        assert found.conf["identity"]["region"] == "RegionOne"


@pytest.mark.parametrize(
    ("kind", "interface", "region", "given", "name"),
    [
        ("dns", "internal", "RegionOne", {"dns": {"endpoint_type": "internalURL"}}, "designate"),
        ("dns-ext", "public", "RegionOne", {"dns": {"catalog_type": "dns-ext"}}, "designate"),
        ("orchestration", "public", "R2", {"heat_plugin": {"region": "R2"}}, "heat"),
        ("orchestration", "internal", "RegionOne", {"heat_plugin": {"endpoint_type": "internal"}}, "heat"),
        ("files", "public", "RegionOne", {"share": {"catalog_type": "files"}}, "manila"),
        ("share", "admin", "R2", {"share": {"endpoint_type": "adminURL", "region": "R2"}}, "manila"),
    ],
)
def test_the_service_of_a_plugin_is_where_its_section_says(
    cloud: RecordedCloud, kind: str, interface: str, region: str, given: Any, name: str
) -> None:
    point = {"interface": interface, "region": region, "url": "http://127.0.0.1:9/v1"}
    cloud.token["catalog"].append({"type": kind, "endpoints": [point]})
    assert discovered(cloud).conf["service_available"][name] is False
    assert name not in discovered(cloud, **given).conf["service_available"]


def with_roles(cloud: RecordedCloud, *names: str) -> None:
    cloud.change("/identity/v3/roles", {"roles": [{"id": f"id-{name}", "name": name} for name in names]})


@pytest.mark.parametrize(
    ("roles", "chosen"),
    [
        (("admin", "SwiftOperator"), "SwiftOperator"),
        (("Member", "member"), "member"),
        (("SwiftOperator", "_member_", "Member"), "Member"),
    ],
)
def test_the_role_for_containers_in_any_spelling(cloud: RecordedCloud, roles: tuple[str, ...], chosen: str) -> None:
    with_roles(cloud, *roles)
    found = discovered(cloud)
    assert found.conf["object-storage"] == {"operator_role": chosen} and found.gaps == ()


def test_roles_that_the_cloud_does_not_have(cloud: RecordedCloud) -> None:
    with_roles(cloud, "admin", "customer")
    (gap,) = discovered(cloud).gaps
    assert "set object-storage.operator_role" in gap.text and "The cloud's roles: admin, customer" in gap.text
    storage = {"operator_role": "Customer", "reseller_admin_role": "Reseller"}
    (gap,) = discovered(cloud, **{"object-storage": storage}).gaps
    assert "no role Reseller (object-storage.reseller_admin_role)" in gap.text and gap.areas == ("object_storage",)
    (gap,) = discovered(
        cloud, identity={"admin_role": "root"}, **{"object-storage": {"operator_role": "customer"}}
    ).gaps
    assert "no role root (identity.admin_role)" in gap.text
    cloud.without("object-store")
    assert discovered(cloud).gaps == ()


@pytest.mark.parametrize(
    ("entries", "is_reported"),
    [
        (("tempest",), True),
        (("tempest.api.object_storage",), True),
        (("tempest.api.object_storage.test_account_quotas.AccountQuotasTest.test_upload_valid_object",), True),
        (("id-d1dc5076-555e-4e6d-9697-28f1fe976324",), True),
        (("regex:quota",), True),
        (("tempest.api.compute", "tempest.api.object_storage.test_account_services"), False),
        (("tempest.api.object_storage.test_account_quota",), False),
    ],
)
def test_tempests_own_role_for_resellers_is_missed_where_tests_need_it(
    cloud: RecordedCloud, entries: tuple[str, ...], is_reported: bool
) -> None:
    with_roles(cloud, "admin", "member")
    selection = Selection(entries)
    gaps = discover(cloud.conf, Keystone(cloud.conf), selection).gaps
    assert ["no role ResellerAdmin (object-storage.reseller_admin_role)" in gap.text for gap in gaps] == (
        [True] if is_reported else []
    )
    tests = ["tempest.api.object_storage.test_account_quotas.AccountQuotasTest.test_upload_valid_object[id-x]",
             "tempest.api.object_storage.test_account_services.AccountTest.test_list_containers"]  # fmt: skip
    assert list(impossible(gaps, tests)) == (tests[:1] if is_reported else [])
    with_roles(cloud, "admin", "member", "reselleradmin")
    assert discover(cloud.conf, Keystone(cloud.conf), selection).gaps == ()
    with_roles(cloud, "admin", "member")
    cloud.without("object-store")
    assert discover(cloud.conf, Keystone(cloud.conf), selection).gaps == ()


def test_an_administrator_whose_role_is_spelled_otherwise(cloud: RecordedCloud) -> None:
    name, project = cloud.token["user"]["name"], cloud.token["project"]["name"]
    identity = {"uri_v3": cloud.conf["identity"]["uri_v3"], "username": name, "password": PASSWORD}
    conf: dict[str, dict[str, Any]] = {"identity": {**identity, "project_name": project}}
    cloud.token["roles"] = [{"name": "Admin"}]
    assert discover(conf, Keystone(conf)).accounts == []


@pytest.mark.parametrize(
    ("of_keystone", "stated", "storage", "roles"),
    [
        (["Member"], {}, {}, ["Member", "member"]),
        (["member"], {"roles": ["Member"]}, {}, ["Member", "member"]),
        (["member"], {}, {"operator_role": "Member"}, ["member", "Member"]),
        (["swiftoperator"], {"roles": ["SWIFTOPERATOR"]}, {}, ["SWIFTOPERATOR", "swiftoperator"]),
        (["member", "reselleradmin"], {}, {}, ["member", "reselleradmin", "ResellerAdmin"]),
        (["member"], {"roles": ["customer"]}, {}, ["customer"]),
    ],
)
def test_an_account_has_its_roles_also_as_tempest_asks_for_them(
    cloud: RecordedCloud, of_keystone: list[str], stated: Any, storage: Any, roles: list[str]
) -> None:
    """Tempest compares the roles of an accounts file letter by letter, and skips the tests if none fits."""
    cloud.token["roles"] = [{"name": name} for name in of_keystone]
    identity = {"uri_v3": cloud.conf["identity"]["uri_v3"]}
    account = {"username": cloud.token["user"]["name"], "password": PASSWORD, **stated}
    conf: dict[str, dict[str, Any]] = {"identity": identity, "account.1": account, "object-storage": storage}
    (found,) = discover(conf, Keystone(conf)).accounts
    assert found["roles"] == roles


def test_an_account_is_an_administrators_however_the_role_is_spelled(cloud: RecordedCloud) -> None:
    cloud.token["roles"] = [{"name": "Admin"}]
    account = {"username": cloud.token["user"]["name"], "password": PASSWORD}
    conf: dict[str, dict[str, Any]] = {
        "identity": {"uri_v3": cloud.conf["identity"]["uri_v3"]},
        "auth": {"use_dynamic_credentials": False},
        "account.1": account,
    }
    (found,) = discover(conf, Keystone(conf)).accounts
    assert found["types"] == ["admin"] and found["roles"] == ["Admin", "admin"]
