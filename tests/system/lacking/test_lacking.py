"""A whole cloud from which one thing after the other is taken away: what is missing is named, and no test fails for it.

One cloud for all: services leave and enter its catalogue, images are deactivated, quotas are lowered, as an operator of
a cloud would do it. Each run is ``execute_test`` with what a vendor gives: address and administrator.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_traces import results
from tests.system.execute_test.conftest import Caller, Options, Ran, cache_folder, caller, tempest_home

from democloud.openstack.shape import Shape  # isort: skip - found by what is imported above
from democloud.openstack.whole import WholeCloud  # isort: skip

__all__ = ["caller", "tempest_home"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the whole cloud needs root, for network namespaces")

TESTS = {
    "token": "identity.v3.test_tokens.TokensV3Test.test_create_token",
    "objects": "object_storage.test_account_services.AccountTest.test_list_containers",
    "images": "image.v2.test_images.BasicOperationsImagesTest.test_register_upload_get_image_file",
    "networks": "network.test_networks.NetworksTest.test_list_networks",
    "router": "network.test_routers.RoutersTest.test_create_show_list_update_delete_router",
    "volumes": "volume.test_volumes_get.VolumesGetTest.test_volume_create_get_update_delete",
    "flavors": "compute.flavors.test_flavors.FlavorsV2TestJSON.test_list_flavors",
    "server": "compute.servers.test_servers.ServersTestJSON.test_create_server_with_admin_password",
    "ssh": "compute.servers.test_create_server.ServersTestJSON.test_host_name_is_same_as_server_name",
}


@dataclass(frozen=True)
class Lack:
    """Something that is taken away."""

    name: str
    taken: Callable[[WholeCloud], contextlib.AbstractContextManager[None]]
    skipped: frozenset[str]
    """Tests of :data:`TESTS` that do not run; all others pass."""
    told: str
    """Part of a message of the run."""


@contextlib.contextmanager
def no_service(cloud: WholeCloud, *types: str) -> Iterator[None]:
    """Services that the catalogue does not list."""
    listed = [one for one in cloud.session().keystone("GET", "/services")["services"] if one["type"] in types]
    for enabled in (False, True):
        for one in listed:
            cloud.session().keystone("PATCH", f"/services/{one['id']}", {"service": {"enabled": enabled}})
        if not enabled:
            yield


@contextlib.contextmanager
def no_image(cloud: WholeCloud) -> Iterator[None]:
    """No image is active."""
    admin = cloud.session()
    for action in ("deactivate", "reactivate"):
        for image in cloud.contents.images:
            admin.ask("POST", "image", f"/v2/images/{image}/actions/{action}")
        if action == "deactivate":
            yield


@contextlib.contextmanager
def no_public_network(cloud: WholeCloud) -> Iterator[None]:
    """The public network is switched off."""
    for is_up in (False, True):
        change = {"network": {"admin_state_up": is_up}}
        cloud.session().ask("PUT", "network", f"/v2.0/networks/{cloud.contents.public_network}", change)
        if not is_up:
            yield


@contextlib.contextmanager
def second_region(cloud: WholeCloud) -> Iterator[None]:
    """Another region is in the catalogue, in front of the first, and nothing answers there."""
    admin = cloud.session()
    admin.keystone("POST", "/regions", {"region": {"id": "AaRegion"}})
    made = []
    for service in admin.keystone("GET", "/services")["services"]:
        endpoint = {"service_id": service["id"], "interface": "public", "region_id": "AaRegion",
                    "url": "http://127.0.0.1:9/away"}  # fmt: skip
        made.append(admin.keystone("POST", "/endpoints", {"endpoint": endpoint})["endpoint"]["id"])
    yield
    for one in made:
        admin.keystone("DELETE", f"/endpoints/{one}")
    admin.keystone("DELETE", "/regions/AaRegion")


@contextlib.contextmanager
def low_quotas(cloud: WholeCloud) -> Iterator[None]:
    """New projects may have one server and one volume."""
    admin = cloud.session()
    kinds = {"compute": "instances", "volume": "volumes"}
    before = {service: admin.ask("GET", service, "/os-quota-class-sets/default") for service in kinds}
    for service, kind in kinds.items():
        admin.ask("PUT", service, "/os-quota-class-sets/default", {"quota_class_set": {kind: 1}})
    yield
    for service, kind in kinds.items():
        old = before[service]["quota_class_set"][kind]
        admin.ask("PUT", service, "/os-quota-class-sets/default", {"quota_class_set": {kind: old}})


def lack(name: str, taken: Any, skipped: str, told: str, *types: str) -> Lack:
    """Describe one of them; ``types`` are service types for :func:`no_service`."""
    named = frozenset(skipped.split())
    return Lack(name, (lambda cloud: no_service(cloud, *types)) if types else taken, named, told)


NO_SERVICE = "the cloud's catalogue has no such service"
LACKS = (
    lack("nothing", lambda _cloud: contextlib.nullcontext(), "", "image: cirros"),
    lack("compute", None, "flavors server ssh", f"compute: {NO_SERVICE}", "compute"),
    lack("image", None, "images volumes server ssh", f"image: {NO_SERVICE}", "image"),
    lack("network", None, "networks router server ssh", f"network: {NO_SERVICE}", "network"),
    lack("volume", None, "volumes", f"volumev3: {NO_SERVICE}", "volumev3", "block-storage"),
    lack("object-store", None, "objects", f"object-store: {NO_SERVICE}", "object-store"),
    lack("only volumev3", None, "", "service type volumev3", "block-storage"),
    lack("only block-storage", None, "", "service type block-storage", "volumev3"),
    lack("no image", no_image, "server ssh", "image: the cloud shows no active image"),
    lack("no public network", no_public_network, "router ssh", "public network: the cloud shows no external network"),
    lack("second region", second_region, "", "image: cirros"),
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCloud]:
    with WholeCloud(tmp_path_factory.mktemp("lacking") / "cloud", Options(cache_folder(), say=print)) as running:
        yield running


@pytest.mark.parametrize("lack", LACKS, ids=lambda one: one.name.replace(" ", "-"))
def test_what_is_missing_is_named_and_no_test_fails_for_it(cloud: WholeCloud, caller: Caller, lack: Lack) -> None:
    with lack.taken(cloud):
        ran = caller.run(cloud.vendor_conf(), "--concurrency", "2", "--testcases", *entries())
    assert ran.code == 0, (ran.end, ran.messages)
    assert outcomes(ran) == {name: "skip" if name in lack.skipped else "success" for name in TESTS}
    assert any(lack.told in message for message in ran.messages), ran.messages


def test_a_quota_that_tests_meet_is_named_as_the_reason(cloud: WholeCloud, caller: Caller) -> None:
    with low_quotas(cloud):
        ran = caller.run(cloud.vendor_conf(), "--concurrency", "2", "--testcases", *entries())
    few = "a project may have only 1 servers (tests need 3), 1 volumes (tests need 3)"
    assert any(message.startswith(f"quota: {few}; tests that need more fail") for message in ran.messages)
    failed = ran.summary["counts"]["failed"]
    words = f"; {failed} test{'s' if failed > 1 else ''} or class{'es' if failed > 1 else ''} failed because a quota"
    assert failed and words in ran.end["message"] and few in ran.end["message"], ran.end


def test_a_check_says_it_without_a_test(cloud: WholeCloud, caller: Caller) -> None:
    with no_image(cloud):
        ran = caller.run(cloud.vendor_conf(), "--check", "--testcases", *entries())
    assert ran.code == 0
    assert ran.end["message"].endswith(
        "; 1 thing is missing: image: the cloud shows no active image to create servers from"
    )
    assert any("Not run for this reason: 2 of 9 tests (ServersTestJSON." in message for message in ran.messages)


def test_a_private_authority(caller: Caller, tmp_path: Path) -> None:
    """A cloud whose certificates only its own authority's file makes trusted."""
    shape = Shape(services=("identity", "object-store"), tls=True)
    with WholeCloud(tmp_path / "tls", Options(cache_folder(), say=print), shape) as cloud:
        conf = cloud.vendor_conf()
        ran = caller.run(conf, "--check", "--testcases", *entries())
        assert ran.code == 0 and "; 4 things are missing: compute: " in ran.end["message"], ran.end
        conf["identity"].pop("ca_certificates_file")
        refused = caller.run(conf, "--check", "--testcases", *entries())
    assert refused.code == 3 and "certificate verify failed" in refused.end["message"]


def entries() -> list[str]:
    """The tests as a guideline names them."""
    return [f"tempest.api.{name}" for name in TESTS.values()]


def outcomes(ran: Ran) -> dict[str, str]:
    """Status of each test in the stream that was kept; those of a class that was skipped are named by the class."""
    stream = {
        name.partition("[")[0]: status for name, status in results((ran.workdir / "subunit").read_bytes()).items()
    }
    found = {}
    for short, name in TESTS.items():
        own_class = f"setUpClass (tempest.api.{name.rpartition('.')[0]})"
        status = stream.get(f"tempest.api.{name}", "missing")
        # a test whose class answers for it is only listed
        found[short] = stream.get(own_class, status) if status in ("exists", "missing") else status
    return found
