"""Glance: the images that servers are made from."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import ServiceApi

BOOTABLE_FORMATS = ("qcow2", "raw", "vmdk", "vdi", "vhd", "ami", "ploop")
GIB = 1024**3
SSH_USERS = ("cirros", "ubuntu", "debian", "fedora", "centos", "rocky", "almalinux", "opensuse")
"""Names of images to the user that such an image lets in."""


@dataclass(frozen=True)
class Image:
    """An image that a server can be made from."""

    id: str
    name: str
    size: int
    """Bytes."""
    min_disk: int
    """GiB."""
    min_ram: int
    """MiB."""
    is_public: bool

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Image | None:
        """Return the image in a record of Glance; None if a server cannot be made from it."""
        is_disk = record.get("disk_format") in BOOTABLE_FORMATS and record.get("container_format") in ("bare", "ami")
        if not is_disk or record.get("status") != "active" or record.get("os_hidden"):
            return None
        size, min_disk, min_ram = (int(record.get(name) or 0) for name in ("size", "min_disk", "min_ram"))
        is_public = record.get("visibility") == "public"
        return cls(str(record["id"]), str(record.get("name") or ""), size, min_disk, min_ram, is_public)

    @property
    def disk(self) -> int:
        """GiB that a server needs for it."""
        return max(self.min_disk, -(-self.size // GIB))

    @property
    def ssh_user(self) -> str:
        """The user that the image lets in, going by its name; empty if unknown."""
        return next((user for user in SSH_USERS if user in self.name.lower()), "")


def find_images(api: ServiceApi, findings: CloudFindings) -> Image | None:
    """Choose the image of the tests and a second one; return the first, None if unknown."""
    given = str(findings.value("compute", "image_ref") or "")
    images = _images(api)
    if given:
        return next((image for image in images if image.id == given), None)
    if not images:
        findings.lacks(
            Need.IMAGE,
            "image: the cloud shows no active image to create servers from; tests that create servers are left out. "
            "Upload an image, or set compute.image_ref",
        )
        return None
    first = images[0]
    second = next((image for image in images[1:] if image.disk <= max(first.disk, 1)), first)
    kind = "smallest public" if first.is_public else "smallest visible"
    alternative = f"alternative: {second.name or second.id}" if second is not first else "no second image was found"
    findings.choose("compute", "image_ref", first.id, f"image: {first.name or first.id} ({kind}); {alternative}")
    findings.choose("compute", "image_ref_alt", second.id)
    return first


def _images(api: ServiceApi) -> list[Image]:
    """Return the bootable images, public ones first, then the smallest."""
    query = urllib.parse.urlencode({"status": "active", "sort_key": "size", "sort_dir": "asc", "limit": 200})
    records = api.records(f"{api.versioned('v2')}/images?{query}", "images")
    images = [image for image in map(Image.read, records) if image is not None]
    return sorted(images, key=lambda image: (not image.is_public, image.disk, image.size, image.id))
