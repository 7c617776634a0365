"""What tests of Tempest need of a cloud, and which of them do not run where it is missing.

One table for the node, which reports it before a run and leaves out what cannot run, and for the server, which shows
the same for a program of a guideline. It was made of Tempest 47.0.0's classes: what their set-up and their tests use,
and the options that they are skipped by. Standard library alone: this module is part of the single file
``execute_test``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

MAX_SHOWN = 3
"""Names of tests in a sentence."""


class Need(str, Enum):
    """Something that tests need of a cloud."""

    COMPUTE = "compute"
    IMAGES = "images"
    NETWORKS = "networks"
    VOLUMES = "volumes"
    OBJECTS = "objects"
    SERVER_NETWORK = "server-network"
    """A network service for servers, which Nova cannot do without."""
    PROJECT_ROUTER = "project-router"
    """A router for each project that Tempest makes."""
    IMAGE_CLIENT = "image-client"
    """An image service, without which Tempest cannot set up some of its classes for volumes."""
    IMAGE = "image"
    """One to make servers from."""
    FLAVOR = "flavor"
    RESIZE = "resize"
    """A second flavor."""
    PUBLIC_NETWORK = "public-network"
    PROJECT_NETWORK = "project-network"
    SSH = "ssh"
    IMAGE_FORMAT = "image-format"
    """Images of any content."""
    RESELLER = "reseller"
    """A role for reseller administrators of Swift."""
    QUOTA = "quota"
    DNS = "dns"
    ORCHESTRATION = "orchestration"
    SHARES = "shares"
    OTHER = "other"
    """Something that no test can be named for."""


NEED_OF_SERVICE = {
    "nova": Need.COMPUTE,
    "glance": Need.IMAGES,
    "neutron": Need.NETWORKS,
    "cinder": Need.VOLUMES,
    "swift": Need.OBJECTS,
}
"""Option of ``[service_available]`` to the need."""
NEED_OF_PLUGIN = {"designate": Need.DNS, "heat": Need.ORCHESTRATION, "manila": Need.SHARES}
"""The same for the services of Tempest plugins."""
_PACKAGES = {
    Need.DNS: "designate_tempest_plugin",
    Need.ORCHESTRATION: "heat_tempest_plugin",
    Need.SHARES: "manila_tempest_tests",
}
"""The packages with the plugins' tests."""

_SERVER = (
    r"compute\.servers\.(?!test_availability_zone\.|test_server_group\.)",
    r"compute\.images\.test_images(?:_oneserver(?:_negative)?)?\.",
    r"compute\.volumes\.test_attach_volume(?:_negative)?\.",
    r"volume\.test_volumes_actions\.\w+\.(?:test_attach_detach_volume_to_instance|test_get_volume_attachment)\b",
    r"volume\.test_volumes_negative\.\w+\.test_attach_volumes_with_nonexistent_volume_id\b",
    r"volume\.test_volumes_snapshots\.\w+\.(?:test_snapshot_create_delete_with_volume_in_use"
    r"|test_snapshot_create_offline_delete_online)\b",
)
"""Tests that make a server."""
_IMAGE = (r"volume\.test_volumes_get\.\w+\.test_volume_create_get_update_delete_from_image\b",
          r"volume\.test_image_metadata\.")  # fmt: skip
"""Tests that make a volume of an image."""

_TESTS = {
    Need.COMPUTE: (r"compute\.",),
    Need.IMAGES: (r"image\.", r"compute\.images\."),
    Need.NETWORKS: (r"network\.",),
    Need.VOLUMES: (r"volume\.", r"compute\.volumes\."),
    Need.OBJECTS: (r"object_storage\.",),
    Need.SERVER_NETWORK: _SERVER,
    Need.PROJECT_ROUTER: (
        r"network\.(?:admin\.)?test_routers",
        r"compute\.servers\.test_(?:multiple_create|instance_actions|server_rescue|server_metadata|disk_config"
        r"|server_addresses|servers|server_password|delete_server|server_tags|server_group|list_servers_negative|novnc"
        r"|device_tagging|attach_interfaces)(?:_negative)?\.",
        r"compute\.images\.test_images(?:_oneserver)?(?:_negative)?\.",
        r"compute\.volumes\.test_attach_volume\.",
        r"compute\.(?:security_groups|floating_ips)\.",
        r"volume\.test_volumes_(?:snapshots|actions|extend|backup)\.",
    ),
    Need.IMAGE_CLIENT: (
        r"volume\.test_volumes_get\.VolumesGetTest\.",
        r"volume\.test_volumes_negative\.VolumesNegativeTest\.",
        r"volume\.test_volumes_actions\.VolumesActionsTest\.",
    ),
    Need.IMAGE: (*_SERVER, *_IMAGE),
    Need.FLAVOR: (*_SERVER, r"compute\.flavors\.test_flavors\."),
    Need.RESIZE: (r".*resize",),
    Need.PUBLIC_NETWORK: (
        r"compute\.floating_ips\.",
        r"network\.(?:admin\.)?test_floating_ips",
        r"network\.test_networks\.\w+\.test_external_network_visibility\b",
        r"network\.test_routers\.\w+\.test_create_show_list_update_delete_router\b",
    ),
    Need.SSH: (
        r"compute\.servers\.test_attach_interfaces\.",
        r"compute\.servers\.test_device_tagging\.",
        r"compute\.servers\.test_create_server\.\w+\.(?:test_host_name_is_same_as_server_name"
        r"|test_verify_created_server_vcpus|test_create_server_with_fqdn_name|test_verify_hostname_allows_fqdn)\b",
    ),
    Need.IMAGE_FORMAT: (r"image\.v2\.test_images\.ListUserImagesTest\.",),
    Need.RESELLER: (r"object_storage\.test_account_quotas(?:_negative)?\.",),
}
_PATTERNS = {need: re.compile(rf"tempest\.api\.(?:{'|'.join(patterns)})") for need, patterns in _TESTS.items()}
_PATTERNS.update({need: re.compile(rf"(?:regex:\^?)?{package}\b") for need, package in _PACKAGES.items()})

_QUOTA = re.compile(
    r"(?i:quota exceeded|VolumeLimitExceeded|SnapshotLimitExceeded|maximum number of \w+ allowed)"
    r"(?: for resources: \[[^\]\n]{0,100}\]|[^'\"\n}]{0,200})"
)
"""How Nova, Neutron and Cinder word it."""
AREAS_OF_SERVICE = {
    "nova": ("compute",),
    "glance": ("image", "compute", "volume"),
    "neutron": ("network", "compute"),
    "cinder": ("volume", "compute"),
    "swift": ("object_storage",),
}
"""Option of ``[service_available]`` to the parts of ``tempest.api`` that use the service."""
_AREAS_OF_QUOTAS = ("compute", "network", "volume")

RESELLER_TESTS = tuple(
    f"tempest.api.object_storage.test_account_quotas{test}]"
    for test in (
        ".AccountQuotasTest.test_upload_valid_object[id-a22ef352-a342-4587-8f47-3bbdb5b039c4",
        ".AccountQuotasTest.test_overlimit_upload[id-93fd7776-ae41-4949-8d0c-21889804c1ca",
        ".AccountQuotasTest.test_storage_policy_quota_limit[id-aab68903-cc9f-493a-b17e-b387db3e4e44",
        ".AccountQuotasTest.test_upload_too_many_objects[id-b1e73f75-6905-4021-9d0b-796cd42ce279",
        ".AccountQuotasTest.test_admin_modify_quota[id-63f51f9f-5f1d-4fc6-b5be-d454d70949d6",
        "_negative.AccountQuotasNegativeTest.test_user_modify_quota[id-d1dc5076-555e-4e6d-9697-28f1fe976324",
    )
)
"""The tests of :attr:`Need.RESELLER`, to find out whether a selection has one before the tests are listed."""
_TOLD_AS_FAILURES = frozenset(
    {Need.SERVER_NETWORK, Need.PROJECT_ROUTER, Need.IMAGE_CLIENT, Need.IMAGE, Need.FLAVOR, Need.RESELLER}
)
"""Needs without which Tempest lets tests fail. The others it skips for."""


@dataclass(frozen=True)
class Gap:
    """Something that a cloud lacks."""

    need: Need
    text: str
    """What is missing, what follows from it, and what can be done; for people."""
    areas: tuple[str, ...] = ()
    """Where no test can be named: the parts of ``tempest.api`` whose tests it may concern; without any, all."""

    def __str__(self) -> str:
        return self.text

    @property
    def lacks(self) -> str:
        """What is missing, without the rest."""
        return self.text.partition(";")[0].partition(". ")[0]


def is_asked_for(need: Need, entries: Iterable[str]) -> bool:
    """Return whether a selection names the plugin whose tests need this.

    :param entries: names of tests, prefixes of names, or ``regex:`` with an expression that begins with a name.
    """
    return any(_PATTERNS[need].match(entry) for entry in entries)


def let_tests_fail(gaps: Iterable[Gap]) -> bool:
    """Return whether tests would fail only because of one of these gaps."""
    return any(gap.need in _TOLD_AS_FAILURES for gap in gaps)


def needing(need: Need, names: Iterable[str]) -> list[str]:
    """Return the tests that do not run where this is missing.

    :param names: full names; what Tempest or a guideline writes behind one in brackets is ignored.
    """
    pattern = _PATTERNS.get(need)
    return [name for name in names if pattern is not None and pattern.match(name)]


def impossible(gaps: Sequence[Gap], names: Iterable[str]) -> dict[str, str]:
    """Return the tests that would fail only because of a gap, name to what the cloud lacks."""
    found: dict[str, str] = {}
    listed = list(names)
    for gap in gaps:
        for name in needing(gap.need, listed) if gap.need in _TOLD_AS_FAILURES else ():
            found.setdefault(name, gap.lacks)
    return found


def concerning(gaps: Iterable[Gap], names: Sequence[str]) -> list[Gap]:
    """Return the gaps that concern some of these tests; all gaps where ``names`` are not all full names of tests."""
    if not all(_is_test(name) for name in names):
        return list(gaps)
    return [gap for gap in gaps if (needing(gap.need, names) if gap.need in _PATTERNS else _concerns(gap, names))]


def consequences(gaps: Sequence[Gap], names: Sequence[str]) -> list[str]:
    """Return for each gap a sentence with the tests out of ``names`` that do not run because of it.

    A gap that concerns none of them is left out, unless no test can be named for it. Where ``names`` are not all full
    names of tests, the sentences name none, and missing services are left out, which Tempest reports by itself.
    """
    if not all(_is_test(name) for name in names):
        return [gap.text for gap in gaps if gap.need not in NEED_OF_SERVICE.values()]
    sentences = []
    for gap in concerning(gaps, names):
        tests = needing(gap.need, names)
        skipped = f". Not run for this reason: {_some(tests, len(names))}" if tests else ""
        sentences.append(f"{gap.text.rstrip('.')}{skipped}" if skipped else gap.text)
    return sentences


def _concerns(gap: Gap, names: Sequence[str]) -> bool:
    areas = gap.areas or (_AREAS_OF_QUOTAS if gap.need is Need.QUOTA else ())
    return not areas or any(name.startswith(f"tempest.api.{area}.") for name in names for area in areas)


def _is_test(name: str) -> bool:
    return re.fullmatch(r"(?:\w+\.)+test_\w+(?:[\[(].*)?", name) is not None


def quota_message(text: str) -> str:
    """Return what a service says of a quota that was exceeded, out of a traceback; empty: it says nothing of one."""
    found = _QUOTA.search(text)
    return " ".join(found[0].split()).rstrip(" .,") if found else ""


def _some(tests: Sequence[str], total: int) -> str:
    shown = [".".join(re.split(r"[\[(]", test)[0].rsplit(".", 2)[-2:]) for test in tests[:MAX_SHOWN]]
    more = ", …" if len(tests) > MAX_SHOWN else ""
    return f"{len(tests)} of {total} tests ({', '.join(shown)}{more})"
