"""Nova: flavors, microversions, and what depends on the number of hypervisors."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image
from refstack_worker.execute_test.cloud.service_api import WHAT_TO_CHECK, ServiceApi, is_up, not_listed

SERVER_AREAS = ("compute", "volume")
"""Parts of ``tempest.api`` whose tests create servers."""
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
    is_disabled: bool = False

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Flavor:
        """Return the flavor in a record of Nova."""
        ram, disk, vcpus = (int(record.get(name) or 0) for name in ("ram", "disk", "vcpus"))
        name, is_disabled = str(record.get("name") or record["id"]), bool(record.get("OS-FLV-DISABLED:disabled"))
        return cls(str(record["id"]), name, ram, disk, vcpus, is_disabled)

    def fits(self, image: Image | None) -> bool:
        """Return whether a server of this size can be made from an image."""
        if self.ram < max(LEAST_RAM, image.min_ram if image else 0):
            return False
        return image is None or self.disk == 0 or self.disk >= image.disk

    def __str__(self) -> str:
        return f"{self.name} ({self.vcpus} vCPU, {self.ram} MiB, {self.disk} GiB)"


def _list_url(api: ServiceApi) -> str:
    return f"{api.versioned('v2.1')}/flavors/detail"


def usable_flavors(api: ServiceApi) -> list[Flavor] | None:
    """Return the flavors that servers can be made with; None if no list can be had.

    Those without a disk of their own come last: by Nova's default, users may boot only volumes with them.
    """
    records = api.known_records(_list_url(api), "flavors")
    if records is None:
        return None
    usable = [flavor for flavor in map(Flavor.read, records) if not flavor.is_disabled]
    return sorted(usable, key=lambda one: (one.disk == 0, one.ram, one.disk, one.vcpus))


def find_compute(
    api: ServiceApi, findings: CloudFindings, flavors: Sequence[Flavor] | None, image: Image | None, is_admin: bool
) -> None:
    """Choose flavors, microversions and features.

    :param flavors: the usable ones, the smallest first; None if no list could be had.
    """
    _look_at_given(api, findings, flavors is not None)
    if flavors is None and not findings.is_given("compute", "flavor_ref"):
        text = f"flavor: {not_listed(_list_url(api), 'flavors')}; tests that create servers are left out"
        findings.lacks(Need.FLAVOR, f"{text}. {WHAT_TO_CHECK}, or set compute.flavor_ref")
    else:
        _find_flavors(findings, flavors or (), image)
    oldest, newest = api.microversions("v2.1")
    if newest and api.version == "v2":
        findings.choices.append(
            "compute: the catalogue has the address of the old API v2, which has no microversions; tests that need one "
            "are skipped"
        )
    elif newest:
        findings.choose("compute", "min_microversion", oldest or "2.1")
        findings.choose("compute", "max_microversion", newest, f"compute: microversions {oldest or '2.1'} to {newest}")
    if is_admin:
        _find_hypervisors(api, findings)


def _look_at_given(api: ServiceApi, findings: CloudFindings, are_listed: bool) -> None:
    """Report flavors that were set and that the cloud does not show, among the listed or by their ids."""
    for option in ("flavor_ref", "flavor_ref_alt"):
        given = str(findings.given.get("compute", {}).get(option) or "")
        if given and not api.get(f"{api.versioned('v2.1')}/flavors/{urllib.parse.quote(given, safe='')}"):
            shows_none = f"the cloud shows no flavor with the id {given}"
            why = shows_none if are_listed else not_listed(_list_url(api), "flavors")
            text = f"flavor: {why} (compute.{option})"
            findings.lacks(Need.OTHER, f"{text}; tests that create or resize servers fail", SERVER_AREAS)


def _find_flavors(findings: CloudFindings, usable: Sequence[Flavor], image: Image | None) -> None:
    flavors = [flavor for flavor in usable if flavor.fits(image)]
    given = str(findings.value("compute", "flavor_ref") or "")
    first = next((flavor for flavor in usable if flavor.id == given), flavors[0] if flavors else None)
    if first is None:
        if not findings.is_given("compute", "flavor_ref"):
            findings.lacks(
                Need.FLAVOR,
                f"flavor: none of the cloud's flavors fits the image{_needs(image)}; tests that create servers are "
                "left out. Create one, or set compute.flavor_ref",
            )
        return
    larger = [flavor for flavor in flavors if flavor.id != first.id and flavor.disk >= first.disk]
    second = larger[0] if larger else None
    if first.disk == 0 and not findings.is_given("compute", "flavor_ref"):
        text = (f"flavor: {first.name} has no disk of its own, nor has any other flavor that fits the image; by "
                "default, Nova lets only administrators create servers from an image with such a flavor")  # fmt: skip
        findings.lacks(Need.OTHER, text, SERVER_AREAS)
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


def set_flavors(findings: CloudFindings, listed: Sequence[Flavor]) -> Sequence[Flavor]:
    """Return the one that was set, if the cloud lists it; else all."""
    given = str(findings.value("compute", "flavor_ref") or "")
    return [flavor for flavor in listed if flavor.id == given] or listed


def _needs(image: Image | None) -> str:
    if image is None:
        return ""
    ram = f" and {image.min_ram} MiB of memory" if image.min_ram else ""
    return f" {image.name or image.id}, which needs {image.disk} GiB of disk{ram}"


def _find_hypervisors(api: ServiceApi, findings: CloudFindings) -> None:
    services = api.records(f"{api.versioned('v2.1')}/os-services?binary=nova-compute", "services")
    up = [one for one in services if is_up(one)]
    if not services:
        return
    if not up:
        text = "compute: no hypervisor (nova-compute) is up and enabled; tests that create servers fail"
        findings.lacks(Need.OTHER, text, SERVER_AREAS)
    findings.choose("compute", "min_compute_nodes", max(1, len(up)))
    if len(up) < 2:
        for feature in ("cold_migration", "live_migration"):
            findings.choose("compute-feature-enabled", feature, False)
        number = "one hypervisor" if up else "no hypervisor"
        findings.choices.append(f"compute: {number} is up; migration tests are skipped")
