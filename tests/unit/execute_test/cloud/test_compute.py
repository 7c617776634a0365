from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.execute_test.cloud.compute import find_compute, usable_flavors
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image
from tests.support.service_api import ENDPOINT, service_api

IMAGE = Image("i", "cirros", 10 * 1024**2, 2, 100, True)
VERSIONS = {"versions": [{"id": "v2.0", "version": ""}, {"id": "v2.1", "min_version": "2.1", "version": "2.96"}]}


def flavor(name: str, ram: int, disk: int, vcpus: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "ram": ram, "disk": disk, "vcpus": vcpus, **more}


def found(
    *flavors: dict[str, Any], is_admin: bool = False, services: Any = None, endpoint: str = ENDPOINT, **given: str
) -> CloudFindings:
    table: dict[str, Any] = {
        "/": VERSIONS,
        "/v2/p/flavors/detail": {"flavors": list(flavors)},
        "/v2.1/flavors/detail": {"flavors": list(flavors)},
    }
    table.update({f"/v2.1/flavors/{one['id']}": {"flavor": one} for one in flavors})
    if services is not None:
        table["/v2.1/os-services"] = {"services": services}
    findings = CloudFindings({"compute": given})
    api = service_api(table, endpoint)[0]
    find_compute(api, findings, usable_flavors(api), IMAGE, is_admin)
    return findings


def test_the_smallest_flavors_that_fit_the_image() -> None:
    findings = found(
        flavor("large", 4096, 40), flavor("no-disk", 64, 1), flavor("nano", 128, 2), flavor("micro", 256, 2)
    )
    assert findings.conf["compute"]["flavor_ref"] == "nano" and findings.conf["compute"]["flavor_ref_alt"] == "micro"
    assert findings.conf["compute-feature-enabled"] == {"resize": True}
    assert (findings.conf["compute"]["min_microversion"], findings.conf["compute"]["max_microversion"]) == (
        "2.1",
        "2.96",
    )


def test_no_flavor_to_resize_to() -> None:
    findings = found(flavor("nano", 128, 2), flavor("less-disk", 512, 1))
    assert findings.conf["compute"]["flavor_ref_alt"] == "nano"
    assert findings.conf["compute-feature-enabled"] == {"resize": False}
    assert "no second flavor" in findings.gaps[0].text


def test_a_disabled_flavor_is_not_taken() -> None:
    away = flavor("old", 100, 2, **{"OS-FLV-DISABLED:disabled": True})
    assert found(away, flavor("nano", 128, 2), flavor("micro", 256, 2)).conf["compute"]["flavor_ref"] == "nano"


def test_a_flavor_without_a_disk_is_the_last_choice_and_is_told() -> None:
    findings = found(flavor("boot-from-volume", 128, 0), flavor("small", 512, 2), flavor("medium", 1024, 2))
    assert findings.conf["compute"]["flavor_ref"] == "small" and findings.gaps == []
    alone = found(flavor("boot-from-volume", 128, 0), flavor("other", 256, 0))
    assert alone.conf["compute"]["flavor_ref"] == "boot-from-volume"
    assert "boot-from-volume has no disk of its own" in alone.gaps[0].text


def test_the_address_of_the_old_api_has_no_microversions() -> None:
    findings = found(flavor("a", 128, 2), flavor("b", 256, 2), endpoint="http://cloud.example/v2/p")
    assert "max_microversion" not in findings.conf["compute"] and findings.conf["compute"]["flavor_ref"] == "a"
    assert any("old API v2, which has no microversions" in choice for choice in findings.choices)


def test_no_hypervisor_is_up() -> None:
    services = [{"state": "up", "status": "disabled"}, {"state": "down", "status": "enabled"}]
    findings = found(flavor("a", 128, 2), flavor("b", 256, 2), is_admin=True, services=services)
    assert "no hypervisor (nova-compute) is up and enabled" in findings.gaps[0].text


def test_no_flavor_fits() -> None:
    findings = found(flavor("tiny", 32, 0))
    assert "flavor_ref" not in findings.conf["compute"] and "none of the cloud's flavors" in findings.gaps[0].text
    assert "cirros, which needs 2 GiB of disk and 100 MiB of memory" in findings.gaps[0].text


def test_the_vendors_flavor_decides_what_is_larger() -> None:
    findings = found(flavor("nano", 128, 2), flavor("medium", 512, 20), flavor("large", 1024, 20), flavor_ref="medium")
    assert "flavor_ref" not in findings.conf["compute"]
    assert findings.conf["compute"]["flavor_ref_alt"] == "large" and not findings.gaps


def test_a_flavor_that_was_set_and_is_not_there_is_told() -> None:
    findings = found(flavor("1", 128, 2), flavor("2", 256, 2), flavor_ref="m1.nano")
    assert "the cloud shows no flavor with the id m1.nano (compute.flavor_ref)" in findings.gaps[0].text


@pytest.mark.parametrize(("up", "migrates"), [(1, False), (2, True)])
def test_hypervisors_decide_on_migration(up: int, migrates: bool) -> None:
    services = [{"state": "up", "status": "enabled"}] * up + [{"state": "down", "status": "enabled"}]
    findings = found(flavor("a", 128, 2), flavor("b", 256, 2), is_admin=True, services=services)
    assert findings.conf["compute"]["min_compute_nodes"] == up
    assert ("live_migration" not in findings.conf["compute-feature-enabled"]) is migrates


def test_an_ordinary_user_is_not_asked_for_hypervisors() -> None:
    assert "min_compute_nodes" not in found(flavor("a", 128, 2), services=[]).conf["compute"]
