from __future__ import annotations

import json
from pathlib import Path

import pytest

from refstack_worker.contract.cloud_needs import (
    RESELLER_TESTS,
    Gap,
    Need,
    concerning,
    consequences,
    impossible,
    is_asked_for,
    let_tests_fail,
    needing,
    quota_message,
)

LISTED = Path(__file__).parents[2] / "data" / "tempest-47.0.0-tests.json"
HOST_NAME = "tempest.api.compute.servers.test_create_server.ServersTestJSON.test_host_name_is_same_as_server_name"
ZONES = "tempest.api.compute.servers.test_availability_zone.AZV2TestJSON.test_get_availability_zone_list"
FLAVORS = "tempest.api.compute.flavors.test_flavors.FlavorsV2TestJSON.test_list_flavors"
FROM_IMAGE = "tempest.api.volume.test_volumes_get.VolumesGetTest.test_volume_create_get_update_delete_from_image"
VOLUMES = "tempest.api.volume.test_volumes_list.VolumesListTestJSON.test_volume_list"
ROUTER = "tempest.api.network.test_routers.RoutersTest.test_create_show_list_update_delete_router"
OBJECTS = "tempest.api.object_storage.test_account_services.AccountTest.test_list_containers"
LIST_IMAGES = "tempest.api.image.v2.test_images.ListUserImagesTest.test_list_no_params"
ALL = [HOST_NAME, ZONES, FLAVORS, FROM_IMAGE, VOLUMES, ROUTER, OBJECTS, LIST_IMAGES]


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need.IMAGE, [HOST_NAME, FROM_IMAGE]),
        (Need.FLAVOR, [HOST_NAME, FLAVORS]),
        (Need.SERVER_NETWORK, [HOST_NAME]),
        (Need.SSH, [HOST_NAME]),
        (Need.PUBLIC_NETWORK, [ROUTER]),
        (Need.IMAGE_FORMAT, [LIST_IMAGES]),
        (Need.COMPUTE, [HOST_NAME, ZONES, FLAVORS]),
        (Need.VOLUMES, [FROM_IMAGE, VOLUMES]),
        (Need.OBJECTS, [OBJECTS]),
        (Need.QUOTA, []),
    ],
)
def test_which_tests_do_not_run(need: Need, expected: list[str]) -> None:
    assert needing(need, ALL) == expected
    tagged = [f"{name}[id-11111111-2222-3333-4444-555555555555,smoke]" for name in ALL]
    assert len(needing(need, tagged)) == len(expected)


def test_classes_for_volumes_that_ask_for_images_in_their_set_up() -> None:
    classes = ("actions.VolumesActions", "get.VolumesGet", "negative.VolumesNegative", "extend.VolumesExtend")
    names = [f"tempest.api.volume.test_volumes_{name}Test.test_x" for name in classes]
    assert needing(Need.IMAGE_CLIENT, names) == names[:3]


def test_only_what_tempest_would_let_fail_is_left_out() -> None:
    image = Gap(Need.IMAGE, "image: none; tests are left out. Upload one")
    ssh = Gap(Need.SSH, "SSH: unreachable; tests are skipped")
    assert impossible([ssh, image], ALL) == {HOST_NAME: "image: none", FROM_IMAGE: "image: none"}
    assert let_tests_fail([ssh, image]) and not let_tests_fail([ssh])
    assert impossible([ssh], ALL) == {}


def test_a_gap_is_told_with_the_tests_that_it_costs() -> None:
    gaps = [Gap(Need.IMAGE, "image: none. Upload one."), Gap(Need.RESIZE, "flavor: one alone; no resizing")]
    (sentence,) = consequences(gaps, ALL)
    assert sentence == (
        "image: none. Upload one. Not run for this reason: 2 of 8 tests "
        "(ServersTestJSON.test_host_name_is_same_as_server_name, "
        "VolumesGetTest.test_volume_create_get_update_delete_from_image)"
    )
    assert consequences(gaps, [OBJECTS]) == []


def test_a_quota_is_told_only_to_runs_that_it_may_concern() -> None:
    quota = Gap(Need.QUOTA, "quota: a project may have only 1 servers (tests need 3)")
    assert consequences([quota], [OBJECTS]) == []
    assert consequences([quota], [OBJECTS, VOLUMES]) == [quota.text]


def test_without_names_every_gap_is_told_but_missing_services() -> None:
    gaps = [Gap(Need.COMPUTE, "compute: not there"), Gap(Need.SSH, "SSH: unreachable")]
    assert consequences(gaps, ["tempest.api.compute"]) == ["SSH: unreachable"]
    assert consequences(gaps, ["regex:test_host"]) == ["SSH: unreachable"]
    assert len(consequences(gaps, [HOST_NAME])) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Details: {'code': 403, 'message': 'Quota exceeded for instances: Requested 1, but already used 1 of 1 "
            "instances'}",
            "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances",
        ),
        ('{"type": "OverQuota", "message": "Quota exceeded for resources: [\'network\'].", "detail": ""}',
         "Quota exceeded for resources: ['network']"),
        ("'VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota \'volumes\'.'",
         "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota"),
        ("Maximum number of snapshots allowed (1) exceeded", "Maximum number of snapshots allowed (1) exceeded"),
        ("the quota of a project is shown", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_service_says_of_its_quota(text: str, message: str) -> None:
    assert quota_message(text) == message


def test_gaps_that_concern_the_tests() -> None:
    image, hosts = Gap(Need.IMAGE, "image: none"), Gap(Need.OTHER, "compute: no hypervisor is up", ("compute",))
    unknown = Gap(Need.OTHER, "the password is refused")
    assert concerning([image, hosts, unknown], [HOST_NAME]) == [image, hosts, unknown]
    assert concerning([image, hosts, unknown], ["tempest.api.object_storage.test_a.B.test_c"]) == [unknown]
    assert concerning([image, hosts, unknown], ["tempest.api.object_storage"]) == [image, hosts, unknown]


def test_a_plugin_is_asked_for_by_its_name() -> None:
    zones = "designate_tempest_plugin.tests.api.v2.test_zones.ZonesTest.test_list_zones"
    assert needing(Need.DNS, [OBJECTS, zones]) == [zones]
    for entry in (zones, "designate_tempest_plugin", "regex:^designate_tempest_plugin.tests"):
        assert is_asked_for(Need.DNS, [OBJECTS, entry])
    for entry in (OBJECTS, "tempest", "heat_tempest_plugin.tests", "designate_tempest_plugins", "regex:test_zones"):
        assert not is_asked_for(Need.DNS, [entry])


def test_the_tests_that_need_a_reseller_are_those_of_the_need() -> None:
    assert needing(Need.RESELLER, RESELLER_TESTS) == list(RESELLER_TESTS)
    known = json.loads(LISTED.read_text())
    names = [f"{module}.{kind}.{test}[id-{number}]" for module, kinds in known.items() for kind, tests in kinds.items()
             for test, number in tests.items()]  # fmt: skip
    assert needing(Need.RESELLER, names) and set(needing(Need.RESELLER, names)) <= set(RESELLER_TESTS)
