from __future__ import annotations

from typing import Any

from refstack_worker.execute_test.cloud.compute import Flavor
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import find_images
from tests.support.service_api import service_api

GIB = 1024**3


def image(name: str, **more: Any) -> dict[str, Any]:
    return {
        **{"id": f"id-{name}", "name": name, "status": "active", "size": 1000, "visibility": "public"},
        **{"disk_format": "qcow2", "container_format": "bare", "min_disk": 0, "min_ram": 0},
        **more,
    }


def found(
    *images: dict[str, Any], given: dict[str, Any] | None = None, flavors: tuple[Flavor, ...] = ()
) -> tuple[CloudFindings, Any]:
    table = {"/v2/images": {"images": list(images)}, **{f"/v2/images/{one['id']}": one for one in images}}
    api, _ = service_api(table, "http://cloud.example")
    findings = CloudFindings({"compute": given or {}})
    return findings, find_images(api, findings, flavors)


def test_the_smallest_public_bootable_image_and_a_second_one() -> None:
    findings, first = found(
        image("large", size=3 * GIB),
        image("iso", disk_format="iso", size=1),
        image("kernel", container_format="aki", size=1),
        image("saving", status="saving", size=1),
        image("own", visibility="private", size=2),
        image("small", size=1000),
        image("hidden", os_hidden=True, size=1),
        image("other", size=2000),
    )
    assert findings.conf["compute"] == {"image_ref": "id-small", "image_ref_alt": "id-other"}
    assert first.name == "small" and not findings.gaps
    assert findings.choices == ["image: small (smallest public); alternative: other"]


def test_what_stands_for_volumes_or_was_made_of_a_server_is_not_the_first_choice() -> None:
    findings, first = found(
        image("of-a-volume", size=0, block_device_mapping="[{}]"),
        image("empty", size=0),
        image("snapshot", size=1, image_type="snapshot"),
        image("elsewhere", size=None),
        image("base", size=2000),
    )
    assert first.name == "base" and findings.conf["compute"]["image_ref_alt"] == "id-elsewhere"
    assert found(image("of-a-volume", size=0))[1] is None


def test_an_image_that_fits_a_flavor_comes_first() -> None:
    images = (image("much-memory", size=1, min_ram=8192), image("much-disk", size=2, virtual_size=40 * GIB),
              image("usual", size=3, virtual_size=2 * GIB), image("alike", size=4))  # fmt: skip
    findings, first = found(*images, flavors=(Flavor("1", "small", 512, 2, 1), Flavor("2", "medium", 1024, 10, 1)))
    assert first.name == "alike" and findings.conf["compute"] == {"image_ref": "id-alike", "image_ref_alt": "id-alike"}
    assert found(*images[:2], flavors=(Flavor("1", "small", 512, 2, 1),))[1].name == "much-memory"


def test_one_image_serves_for_both() -> None:
    findings, _ = found(image("only", visibility="shared"))
    assert findings.conf["compute"] == {"image_ref": "id-only", "image_ref_alt": "id-only"}
    assert "smallest visible" in findings.choices[0]


def test_no_image_is_a_gap_that_says_what_to_do() -> None:
    findings, first = found(image("iso", disk_format="iso"))
    assert first is None and not findings.conf
    assert "tests that create servers are left out" in findings.gaps[0].text


def test_the_vendors_image_wins() -> None:
    findings, first = found(image("a"), image("b"), given={"image_ref": "id-b"})
    assert first.name == "b" and not findings.choices
    assert findings.conf == {"compute": {"image_ref_alt": "id-a"}}
    findings, first = found(image("a"), image("b"), given={"image_ref": "id-b", "image_ref_alt": "id-b"})
    assert first.name == "b" and not findings.conf


def test_an_image_that_was_set_and_is_not_there_is_told() -> None:
    findings, first = found(image("cirros"), given={"image_ref": "cirros"})
    assert first is None and not findings.conf
    assert "the cloud shows no image with the id cirros (compute.image_ref)" in findings.gaps[0].text


def test_the_user_of_an_image_is_known_by_its_name() -> None:
    assert found(image("CirrOS-0.6.2"))[1].ssh_user == "cirros"
    assert found(image("golden"))[1].ssh_user == ""


def test_an_image_of_a_rare_architecture_is_the_last_choice() -> None:
    arm = image("arm", size=1, architecture="aarch64")
    usual = (image("large", size=3000, architecture="x86_64"), image("unnamed", size=2000))
    findings, first = found(arm, *usual)
    assert first.name == "unnamed" and findings.conf["compute"]["image_ref_alt"] == "id-large"
    assert found(arm, image("also-arm", size=2, architecture="arm64"), usual[0])[1].name == "arm"
    assert found(arm, usual[0])[1].name == "arm"
    assert found(arm)[1].name == "arm"
