"""Nova: flavors, microversions, and what depends on the number of hypervisors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image
from refstack_worker.execute_test.cloud.service_api import ServiceApi

LEAST_RAM = 64
"""MiB below which no image of the tests boots."""


@dataclass(frozen=True)
class Flavor:
    id: str
    name: str
    ram: int
    """MiB."""
    disk: int
    """GiB; 0: as large as the image."""
    vcpus: int

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Flavor:
        """Return the flavor in a record of Nova."""
        numbers = (int(record.get(name) or 0) for name in ("ram", "disk", "vcpus"))
        return cls(str(record["id"]), str(record.get("name") or record["id"]), *numbers)

    def fits(self, image: Image | None) -> bool:
        """Return whether a server of this size can be made from an image."""
        if self.ram < max(LEAST_RAM, image.min_ram if image else 0):
            return False
        return image is None or self.disk == 0 or self.disk >= image.disk

    def __str__(self) -> str:
        return f"{self.name} ({self.vcpus} vCPU, {self.ram} MiB, {self.disk} GiB)"


def find_compute(api: ServiceApi, findings: CloudFindings, image: Image | None, is_admin: bool) -> None:
    """Choose flavors, microversions and features."""
    _find_flavors(api, findings, image)
    oldest, newest = api.microversions("v2.1")
    if newest:
        findings.choose("compute", "min_microversion", oldest or "2.1")
        findings.choose("compute", "max_microversion", newest, f"compute: microversions {oldest or '2.1'} to {newest}")
    if is_admin:
        _find_hypervisors(api, findings)


def _find_flavors(api: ServiceApi, findings: CloudFindings, image: Image | None) -> None:
    listed = [Flavor.read(record) for record in api.records(f"{api.versioned('v2.1')}/flavors/detail", "flavors")]
    flavors = sorted(
        (flavor for flavor in listed if flavor.fits(image)), key=lambda one: (one.ram, one.disk, one.vcpus)
    )
    first = _chosen(findings, "flavor_ref", listed) or (flavors[0] if flavors else None)
    if first is None:
        if not findings.is_given("compute", "flavor_ref"):
            findings.lacks(
                Need.FLAVOR,
                "flavor: none of the cloud's flavors fits the image; tests that create servers are left out. "
                "Create one, or set compute.flavor_ref",
            )
        return
    larger = [flavor for flavor in flavors if flavor.id != first.id and flavor.disk >= first.disk]
    second = larger[0] if larger else None
    findings.choose("compute", "flavor_ref", first.id, f"flavor: {first}, the smallest that fits the image")
    if second is None and not findings.is_given("compute", "flavor_ref_alt"):
        findings.choose("compute", "flavor_ref_alt", first.id)
        findings.choose("compute-feature-enabled", "resize", False)
        findings.lacks(Need.RESIZE, "flavor: no second flavor to resize servers to; resize tests are skipped")
        return
    if second is not None:
        findings.choose("compute", "flavor_ref_alt", second.id, f"flavor to resize to: {second}")
    # Tempest leaves the tests of resizing out unless the option says that the cloud can resize
    findings.choose("compute-feature-enabled", "resize", True)


def _chosen(findings: CloudFindings, option: str, listed: list[Flavor]) -> Flavor | None:
    given = str(findings.value("compute", option) or "")
    return next((flavor for flavor in listed if given and flavor.id == given), None)


def _find_hypervisors(api: ServiceApi, findings: CloudFindings) -> None:
    services = api.records(f"{api.versioned('v2.1')}/os-services?binary=nova-compute", "services")
    up = [one for one in services if one.get("state") == "up" and one.get("status") == "enabled"]
    if not services:
        return
    findings.choose("compute", "min_compute_nodes", max(1, len(up)))
    if len(up) < 2:
        for feature in ("cold_migration", "live_migration"):
            findings.choose("compute-feature-enabled", feature, False)
        findings.choices.append(f"compute: {len(up)} hypervisor is up; migration tests are skipped")
