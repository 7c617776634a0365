"""Discovery against a cloud that answers as a real one of 2025.1 did, with things taken away from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.contract.cloud_needs import Need, consequences, impossible
from refstack_worker.execute_test.cloud import keystone, validation
from refstack_worker.execute_test.cloud.catalog import only_region
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.keystone import Keystone, acting_user, administrator
from refstack_worker.execute_test.cloud.options import OptionFinder
from tests.support.http_server import HTML
from tests.support.recorded_cloud import RecordedCloud, recorded_cloud

SERVER = "tempest.api.compute.servers.test_servers.ServersTestJSON.test_create_server_with_admin_password"
FLAVORS = "tempest.api.compute.flavors.test_flavors.FlavorsV2TestJSON.test_list_flavors"
IMAGES = "tempest.api.image.v2.test_images.BasicOperationsImagesTest.test_delete_image"
NETWORKS = "tempest.api.network.test_networks.NetworksTest.test_list_networks"
ROUTERS = "tempest.api.network.test_routers.RoutersTest.test_create_show_list_update_delete_router"
VOLUMES = "tempest.api.volume.test_volumes_list.VolumesListTestJSON.test_volume_list"
ZONES = "designate_tempest_plugin.tests.api.v2.test_zones.ZonesTest.test_list_zones"
OBJECTS = "tempest.api.object_storage.test_account_services.AccountTest.test_list_containers"
VOLUME_GET = "tempest.api.volume.test_volumes_get.VolumesGetTest.test_volume_create_get_update_delete"
"""Tempest sets its class up with a client for images."""
ALL = [SERVER, FLAVORS, IMAGES, NETWORKS, ROUTERS, VOLUMES, OBJECTS, VOLUME_GET]


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every floating address answers, as it did where the answers were recorded; nothing is waited for."""
    monkeypatch.setattr(validation, "is_reachable", lambda _address: True)
    monkeypatch.setattr(keystone, "CLOUD_PATIENCE", 0.0)


@pytest.fixture
def cloud() -> Iterator[RecordedCloud]:
    with recorded_cloud("admin") as running:
        yield running


def look(
    cloud: RecordedCloud, changes_nothing: bool = False, tests: tuple[str, ...] = (), **given: dict[str, Any]
) -> CloudFindings:
    conf = {**cloud.conf, **given}
    cloud_keystone = Keystone(conf)
    token = cloud_keystone.log_in(acting_user(conf))
    region = str(given.get("identity", {}).get("region") or "") or only_region(token, cloud_keystone.url)
    is_admin = administrator(conf) is not None
    finder = OptionFinder(cloud_keystone, token, region, is_admin, changes_nothing=changes_nothing)
    return finder.find(conf, "refstack-7-1", tests)


def needs(findings: CloudFindings) -> list[str]:
    return [gap.need.value for gap in findings.gaps]


def test_a_whole_cloud_lacks_nothing(cloud: RecordedCloud) -> None:
    findings = look(cloud)
    assert findings.gaps == []
    conf = findings.conf
    assert conf["compute"]["image_ref"] and conf["compute"]["image_ref"] != conf["compute"]["image_ref_alt"]
    assert (conf["compute"]["flavor_ref"], conf["compute"]["flavor_ref_alt"]) == ("42", "43")
    assert conf["volume"]["catalog_type"] == "volumev3" and conf["validation"]["run_validation"] is True
    assert conf["network"]["public_network_id"] and "router" in conf["network-feature-enabled"]["api_extensions"]
    assert conf["image-feature-enabled"]["image_format_enforcement"] is False
    assert [one.split(" ")[0] for one in cloud.made] == ["POST", "PUT", "DELETE"]


def test_an_ordinary_user_is_enough() -> None:
    with recorded_cloud("user") as cloud:
        findings = look(cloud)
    assert findings.gaps == []
    assert findings.conf["compute"]["image_ref"] and findings.conf["compute"]["fixed_network_name"] == "user1"


def test_the_server_only_reads(cloud: RecordedCloud) -> None:
    findings = look(cloud, changes_nothing=True)
    assert cloud.made == [] and findings.gaps == []
    assert "validation" not in findings.conf and findings.conf["compute"]["image_ref"]


@pytest.mark.parametrize(
    ("types", "need", "skipped", "left_out"),
    [
        (("compute",), Need.COMPUTE, [SERVER, FLAVORS], []),
        (("image",), Need.IMAGES, [IMAGES], [VOLUME_GET, SERVER]),
        (("network",), Need.NETWORKS, [NETWORKS, ROUTERS], [SERVER]),
        (("volumev3", "block-storage"), Need.VOLUMES, [VOLUMES, VOLUME_GET], []),
        (("object-store",), Need.OBJECTS, [OBJECTS], []),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_service_is_away(
    cloud: RecordedCloud, types: tuple[str, ...], need: Need, skipped: list[str], left_out: list[str]
) -> None:
    cloud.without(*types)
    findings = look(cloud)
    assert need.value in needs(findings)
    told = [gap for gap in findings.gaps if gap.need is need]
    (sentence,) = consequences(told, ALL)
    assert "the cloud's catalogue has no such service in the region RegionOne" in sentence
    assert f"{len(skipped)} of {len(ALL)} tests" in sentence
    assert list(impossible(findings.gaps, ALL)) == left_out


def put_in_north(cloud: RecordedCloud, kind: str) -> None:
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"] if service["type"] == kind else ():
            endpoint.update(region="North", region_id="North")


def test_a_service_of_another_region_is_named_with_it(cloud: RecordedCloud) -> None:
    put_in_north(cloud, "object-store")
    (gap,) = (one for one in look(cloud).gaps if one.need is Need.OBJECTS)
    where = "in the region RegionOne, but in North (identity.region, or object-storage.region alone)"
    assert f"no such service {where}; its tests are" in gap.text
    away = {"object-storage": {"region": "South"}}
    (gap,) = (one for one in look(cloud, **away).gaps if one.need is Need.OBJECTS)
    assert "no such service in the region South, but in North (object-storage.region); its tests are" in gap.text


def test_a_service_is_looked_for_in_the_region_that_was_set_for_it(cloud: RecordedCloud) -> None:
    put_in_north(cloud, "object-store")
    findings = look(cloud, **{"object-storage": {"region": "North"}})
    assert findings.gaps == [] and findings.conf["object-storage-feature-enabled"]


def test_no_image(cloud: RecordedCloud) -> None:
    cloud.empty("/image/v2/images", "images")
    findings = look(cloud)
    assert needs(findings) == ["image"] and "image_ref" not in findings.conf["compute"]
    assert findings.conf["validation"] == {"run_validation": False}
    assert impossible(findings.gaps, ALL) == {SERVER: "image: the cloud shows no active image to create servers from"}
    assert "image" not in needs(look(cloud, compute={"image_ref": "mine"}))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("path", "section", "option", "what", "left_out"),
    [
        ("/image/v2/images", "compute", "image_ref", "image", True),
        ("/compute/v2.1/flavors/detail", "compute", "flavor_ref", "flavor", True),
        ("/network/v2.0/networks", "network", "public_network_id", "public network", False),
    ],
)
def test_a_page_in_place_of_a_list(
    cloud: RecordedCloud, path: str, section: str, option: str, what: str, left_out: bool, given: bool
) -> None:
    service, as_recorded = "/".join(path.split("/")[:2]), cloud.server.otherwise
    cloud.server.otherwise = lambda asked: HTML if asked.path.startswith(service) else as_recorded(asked)
    findings = look(cloud, **({section: {option: "mine"}} if given else {}))
    where = f"{what}: the response from {cloud.server.url}{path} is not a list of {what.split()[-1]}s"
    (gap,) = (gap for gap in findings.gaps if gap.text.startswith(where))
    assert not [one for one in findings.gaps if " the cloud shows no " in one.text and one.need is not Need.SSH]
    if given:
        assert f"({section}.{option})" in gap.text
    else:
        assert "Check the service's address, proxies in between" in gap.text
        assert list(impossible([gap], [SERVER])) == [SERVER] * left_out


def test_no_public_network(cloud: RecordedCloud) -> None:
    networks = cloud.answers["/network/v2.0/networks"]["networks"]
    cloud.change("/network/v2.0/networks", {"networks": [one for one in networks if not one["router:external"]]})
    findings = look(cloud)
    assert needs(findings) == ["public-network", "ssh"]
    assert findings.conf["validation"] == {"run_validation": False}
    assert "1 of 8 tests (RoutersTest.test_create_show_list" in consequences(findings.gaps, ALL)[0]
    assert impossible(findings.gaps, ALL) == {}


def test_floating_addresses_that_this_machine_does_not_reach(
    cloud: RecordedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "is_reachable", lambda _address: False)
    findings = look(cloud)
    assert needs(findings) == ["ssh"] and "cannot reach the public network" in findings.gaps[0].text


def test_a_neutron_without_routers_and_floating_ips(cloud: RecordedCloud) -> None:
    cloud.change("/network/v2.0/extensions", {"extensions": [{"alias": "quotas"}, {"alias": "security-group"}]})
    cloud.change("/network/v2.0/networks", {"networks": []})
    findings = look(cloud)
    assert findings.conf["network-feature-enabled"]["api_extensions"] == ["quotas", "security-group"]
    assert findings.conf["validation"] == {"run_validation": False, "connect_method": "fixed"}
    assert needs(findings) == ["project-router", "public-network", "ssh"]
    assert list(impossible(findings.gaps, ALL)) == [SERVER, ROUTERS]


@pytest.mark.parametrize(("other", "kept"), [("block-storage", "volumev3"), ("volumev3", "block-storage")])
def test_one_of_the_two_names_of_cinder(cloud: RecordedCloud, other: str, kept: str) -> None:
    cloud.without(other)
    findings = look(cloud)
    assert findings.gaps == [] and findings.conf["volume"]["catalog_type"] == kept


def test_another_region_of_the_catalogue_is_left_alone(cloud: RecordedCloud) -> None:
    cloud.with_region("RegionZero")
    assert look(cloud).gaps == []
    away = look(cloud, identity={**cloud.conf["identity"], "region": "RegionZero"})
    assert {"other"} <= set(needs(away)) and all(
        "127.0.0.1:9" in gap.text for gap in away.gaps if gap.need is Need.OTHER
    )


def test_the_region_is_told_where_there_are_several(cloud: RecordedCloud) -> None:
    assert not any(choice.startswith("region") for choice in look(cloud).choices)
    cloud.with_region("RegionZero")
    assert look(cloud).choices[0] == "region: RegionOne, of RegionOne, RegionZero (identity.region)"


def test_a_network_service_that_tempest_cannot_address_takes_no_server_tests_along(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"] if service["type"] == "network" else ():
            endpoint["url"] += "/v2.0"
    findings = look(cloud)
    assert needs(findings)[0] == "networks" and "Tempest appends the version itself" in findings.gaps[0].text
    assert impossible(findings.gaps, ALL) == {}


def test_an_address_that_is_no_url_is_told_with_its_service(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"] if service["type"] == "compute" else ():
            endpoint["url"] = "http://[::1:8774/v2.1"
    bad = {"interface": "public", "region": "RegionOne", "url": "http://[::1:8004/v1"}
    cloud.token["catalog"].append({"type": "orchestration", "endpoints": [bad]})
    assert [gap.text for gap in look(cloud).gaps] == [
        "compute: the catalogue lists compute, but its address 'http://[::1:8774/v2.1' is not a valid URL; its tests "
        "are skipped",
        "orchestration: its address in the catalogue, 'http://[::1:8004/v1', is not a valid URL; its tests are skipped",
    ]


def test_no_password_in_an_address_of_the_catalogue_is_repeated(cloud: RecordedCloud) -> None:
    login = "nova-service:pw-of-nova-5512@"
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"]:
            if service["type"] == "compute":
                endpoint["url"] = endpoint["url"].replace("//", f"//{login}").removesuffix("/v2.1")
            if service["type"] == "image":
                endpoint["url"] = f"http://{login}[::1:9292"
    bad = {"interface": "public", "region": "RegionOne", "url": f"http://{login}[::1:8004/v1"}
    cloud.token["catalog"].append({"type": "orchestration", "endpoints": [bad]})
    texts = "\n".join(gap.text for gap in look(cloud).gaps)
    assert "'http://[::1:9292' is not a valid URL" in texts and "'http://[::1:8004/v1', is not a valid URL" in texts
    assert f"in the catalogue, {cloud.server.url}/compute, has no version" in texts
    assert "pw-of-nova-5512" not in texts and "nova-service" not in texts


def test_an_address_without_a_version_is_told_where_tempest_adds_none(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"] if service["type"] == "compute" else ():
            endpoint["url"] = endpoint["url"].removesuffix("/v2.1")
    findings = look(cloud)
    assert [gap.lacks for gap in findings.gaps] == [
        f"compute: its address in the catalogue, {cloud.server.url}/compute, has no version, and Tempest adds none"
    ]
    assert findings.conf["compute"]["flavor_ref"] == "42"
    assert len(consequences(findings.gaps, [SERVER, OBJECTS])) == 1 and consequences(findings.gaps, [OBJECTS]) == []


def test_another_name_of_a_service_is_set(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        service["type"] = {"object-store": "object-storage"}.get(service["type"], service["type"])
    findings = look(cloud)
    assert findings.gaps == [] and findings.conf["object-storage"]["catalog_type"] == "object-storage"


def test_a_region_that_the_catalogue_does_not_have(cloud: RecordedCloud) -> None:
    findings = look(cloud, identity={**cloud.conf["identity"], "region": "Nowhere"})
    assert needs(findings) == ["compute", "images", "networks", "volumes", "objects"]
    assert all("in the region Nowhere" in gap.text for gap in findings.gaps)


def test_quotas_of_one(cloud: RecordedCloud) -> None:
    cloud.change("/compute/v2.1/os-quota-class-sets/default", {"quota_class_set": {"instances": 1, "cores": 1}})
    findings = look(cloud)
    assert needs(findings) == ["quota"] and "only 1 servers (tests need 3)" in findings.gaps[0].text
    assert consequences(findings.gaps, [OBJECTS]) == []


def test_no_flavor_that_fits_and_one_alone(cloud: RecordedCloud) -> None:
    flavors = cloud.answers["/compute/v2.1/flavors/detail"]["flavors"]
    cloud.change("/compute/v2.1/flavors/detail", {"flavors": flavors[:1]})
    assert needs(look(cloud)) == ["resize"]
    cloud.change("/compute/v2.1/flavors/detail", {"flavors": []})
    findings = look(cloud)
    assert needs(findings) == ["flavor"] and list(impossible(findings.gaps, ALL)) == [SERVER, FLAVORS]


@pytest.mark.parametrize(
    ("tests", "kind"),
    [
        ((OBJECTS, ZONES), "dns"),
        (("designate_tempest_plugin.tests.api",), "dns"),
        (("regex:^heat_tempest_plugin.tests",), "orchestration"),
        (("manila_tempest_tests",), "sharev2"),
    ],
)
def test_the_service_of_a_plugin_is_missed_by_its_own_tests_alone(
    cloud: RecordedCloud, tests: tuple[str, ...], kind: str
) -> None:
    (sentence,) = consequences(look(cloud, changes_nothing=True, tests=tests).gaps, tests)
    assert f"{kind}: the cloud's catalogue has no such service in the region RegionOne; its tests are" in sentence
    assert look(cloud, changes_nothing=True, tests=(OBJECTS, "tempest.api.object_storage")).gaps == []


def test_a_plugin_service_elsewhere_is_named_with_the_options_that_lead_there(cloud: RecordedCloud) -> None:
    def only(kind: str, interface: str, region: str) -> str:
        cloud.without("dns", "orchestration")
        point = {"interface": interface, "region": region, "url": "http://127.0.0.1:9/v1"}
        cloud.token["catalog"].append({"type": kind, "endpoints": [point]})
        tests = (ZONES, "heat_tempest_plugin.tests.functional.test_a.B.test_c")
        return next(gap.text for gap in look(cloud, tests=tests).gaps if gap.text.startswith(kind))

    assert "without a public address; dns.endpoint_type can be internal" in only("dns", "internal", "RegionOne")
    # Designate's plugin has no region of its own
    assert "but in North (identity.region);" in only("dns", "public", "North")
    assert "but in North (identity.region, or heat_plugin.region alone);" in only("orchestration", "public", "North")
