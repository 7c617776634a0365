"""What is taken away from a whole cloud, as an operator of a cloud would do it, and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from democloud.openstack.whole import WholeCloud

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
