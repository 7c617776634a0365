from __future__ import annotations

from typing import Any

from requests import Request

from refstack_worker.execute_test.cloud.cleanup.object_storage import ObjectStorage
from refstack_worker.execute_test.cloud.cleanup.removal import Removal
from refstack_worker.execute_test.cloud.keystone import CloudUser, KeystoneToken
from tests.support.service_api import TableKeystone
from tests.unit.execute_test.cloud.cleanup.test_resources import Events

CATALOG = [
    {
        "type": "object-store",
        "endpoints": [
            {"interface": "public", "region": "A", "url": "http://away.example/v1/AUTH_mine"},
            {"interface": "public", "region": "B", "url": "http://cloud.example/v1/AUTH_mine"},
        ],
    }
]


def containers(keystone: TableKeystone) -> list[dict[str, Any]]:
    """The listing, whose second page is empty."""
    keystone.table["/v1/AUTH_p1"] = []
    return [{"name": "left"}]


def test_containers_are_removed_in_the_region_of_the_run() -> None:
    keystone, counted = TableKeystone({"/v1/AUTH_p1": containers, "/v1/AUTH_p1/left": []}), Removal(Events())  # type: ignore[arg-type]
    token = KeystoneToken("t", {"catalog": CATALOG, "project": {"id": "mine"}})
    storage = ObjectStorage(keystone, CloudUser("u", "p"), token, "B", counted)  # type: ignore[arg-type]
    assert storage.remove_containers(token, "p1", "project p1", "")
    assert ("DELETE", "/v1/AUTH_p1/left", None) in keystone.sent and counted.removed == 1


def removal_of(objects: list[str], **more: Any) -> tuple[TableKeystone, Removal]:
    """Remove what carries a prefix, where one container does and holds these objects."""

    def listing(names: list[str]) -> Any:
        pages = [[{"name": name} for name in names], []]
        return lambda keystone: pages.pop(0) if pages else []

    account, container = "/v1/AUTH_mine", "/v1/AUTH_mine/refstack-1-1-c"
    keystone = TableKeystone({account: listing(["refstack-1-1-c", "theirs"]), container: listing(objects), **more})
    counted = Removal(Events())  # type: ignore[arg-type]
    token = KeystoneToken("t", {"catalog": CATALOG, "project": {"id": "mine"}})
    storage = ObjectStorage(keystone, CloudUser("u", "p"), token, "B", counted)  # type: ignore[arg-type]
    storage.remove_containers(token, "mine", "own project", "refstack-1-1-")
    return keystone, counted


def reached(keystone: TableKeystone) -> set[str]:
    """Return the paths that a client would really ask to delete."""
    addresses = (Request(method, f"http://cloud.example{path}").prepare().url for method, path, _ in keystone.sent)
    return {str(address).partition("cloud.example")[2].partition("?")[0] for address in addresses}


def test_names_that_lead_up_reach_no_other_container_and_no_account() -> None:
    keystone, counted = removal_of(["..", ".", "../theirs/x", "a/../../../AUTH_other/c/x", "a/b"])
    inside = "/v1/AUTH_mine/refstack-1-1-c"
    assert all(path == inside or path.startswith(f"{inside}/") for path in reached(keystone)), keystone.sent
    assert f"{inside}/a/b" in reached(keystone)


def test_a_swift_that_does_not_know_the_prefix_loses_nothing() -> None:
    keystone, counted = removal_of([])
    assert reached(keystone) == {"/v1/AUTH_mine/refstack-1-1-c"}


def test_a_listing_that_begins_again_and_again_ends() -> None:
    keystone, counted = removal_of([], **{"/v1/AUTH_mine/refstack-1-1-c": [{"name": "a"}, {"name": "b"}]})
    assert counted.remaining == ["container refstack-1-1-c of own project"]
