"""Glance: the images that servers are made from."""

from __future__ import annotations

import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import WHAT_TO_CHECK, ServiceApi, not_listed

BOOTABLE_FORMATS = ("qcow2", "raw", "vmdk", "vdi", "vhd", "ami", "ploop")
GIB = 1024**3
USUAL_ARCHITECTURE = "x86_64"
"""Of images that name none."""
_OTHER_NAMES = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}
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
    virtual_size: int = 0
    """Bytes of the disk that the image makes; 0 if unknown."""
    is_snapshot: bool = False
    """Made of a server, not to make servers from."""
    architecture: str = USUAL_ARCHITECTURE

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Image | None:
        """Return the image in a record of Glance; None if a server cannot be made from it."""
        is_disk = record.get("disk_format") in BOOTABLE_FORMATS and record.get("container_format") in ("bare", "ami")
        if not is_disk or record.get("status") != "active" or record.get("os_hidden"):
            return None
        # an image without content stands for the volumes of the server that it was made of
        if record.get("size") == 0 or record.get("block_device_mapping"):
            return None
        names = ("size", "min_disk", "min_ram", "virtual_size")
        size, min_disk, min_ram, virtual_size = (int(record.get(name) or 0) for name in names)
        is_public = record.get("visibility") == "public"
        is_snapshot = record.get("image_type") == "snapshot"
        name = str(record.get("name") or "")
        named = str(record.get("architecture") or USUAL_ARCHITECTURE).lower()
        architecture = _OTHER_NAMES.get(named, named)
        return cls(str(record["id"]), name, size, min_disk, min_ram, is_public, virtual_size, is_snapshot, architecture)

    @property
    def disk(self) -> int:
        """GiB that a server needs for it."""
        return max(self.min_disk, -(-max(self.size, self.virtual_size) // GIB))

    @property
    def ssh_user(self) -> str:
        """The user that the image lets in, going by its name; empty if unknown."""
        return next((user for user in SSH_USERS if user in self.name.lower()), "")


class Size(Protocol):
    """A flavor, as far as the choice of an image needs one."""

    def fits(self, image: Image | None) -> bool:
        """Return whether a server of this size can be made from an image."""


def find_images(api: ServiceApi, findings: CloudFindings, sizes: Sequence[Size] = ()) -> Image | None:
    """Choose the image of the tests and a second one; return the first, None if unknown.

    :param sizes: the flavors that there are. An image that fits none of them is the last choice.
    """
    given = str(findings.value("compute", "image_ref") or "")
    images = _images(api, sizes)
    if given:
        return _given(api, findings, given, images)
    if images is None:
        text = f"image: {_not_listed(api)}; tests that create servers are left out"
        findings.lacks(Need.IMAGE, f"{text}. {WHAT_TO_CHECK}, or set compute.image_ref")
        return None
    if not images:
        findings.lacks(
            Need.IMAGE,
            "image: the cloud shows no active image to create servers from; tests that create servers are left out. "
            "Upload an image, or set compute.image_ref",
        )
        return None
    first = images[0]
    second = _second(first, images)
    kind = "smallest public" if first.is_public else "smallest visible"
    alternative = f"alternative: {second.name or second.id}" if second is not first else "no second image was found"
    findings.choose("compute", "image_ref", first.id, f"image: {first.name or first.id} ({kind}); {alternative}")
    findings.choose("compute", "image_ref_alt", second.id)
    return first


def _given(api: ServiceApi, findings: CloudFindings, given: str, images: Sequence[Image] | None) -> Image | None:
    """Return the image that was set, and choose a second one if that was not set."""
    record = api.get(f"{_list_url(api)}/{urllib.parse.quote(given, safe='')}")
    if not isinstance(record, dict):
        why = _not_listed(api) if images is None else f"the cloud shows no image with the id {given}"
        text = f"image: {why} (compute.image_ref); tests that create servers fail"
        findings.lacks(Need.OTHER, text, ("compute", "volume"))
        return None
    first = Image.read(record)
    second = _second(first, images or ()) if first else None
    findings.choose("compute", "image_ref_alt", second.id if second else given)
    return first


def _second(first: Image, images: Sequence[Image]) -> Image:
    """Return another image for the same flavors, or the same without any."""
    alike = (
        image
        for image in images
        if image.id != first.id and image.disk <= max(first.disk, 1) and image.min_ram <= first.min_ram
    )
    return next(alike, first)


def _list_url(api: ServiceApi) -> str:
    return f"{api.versioned('v2')}/images"


def _not_listed(api: ServiceApi) -> str:
    return not_listed(_list_url(api), "images")


def _images(api: ServiceApi, sizes: Sequence[Size]) -> list[Image] | None:
    """Return the bootable images: first those that fit a flavor, of these the public ones, then the smallest.

    Images of a rarer architecture come behind: most hosts cannot run them. None if no list can be had.
    """
    query = urllib.parse.urlencode({"status": "active", "sort_key": "size", "sort_dir": "asc", "limit": 200})
    records = api.known_records(f"{_list_url(api)}?{query}", "images")
    if records is None:
        return None
    images = [image for image in map(Image.read, records) if image is not None]
    counts = Counter(image.architecture for image in images)

    def rank(image: Image) -> tuple[bool | int | str, ...]:
        fits = not sizes or any(size.fits(image) for size in sizes)
        is_unknown = image.size == 0
        is_rare = counts[image.architecture] < max(counts.values())
        return not fits, is_rare, not image.is_public, image.is_snapshot, is_unknown, image.disk, image.size, image.id

    return sorted(images, key=rank)
