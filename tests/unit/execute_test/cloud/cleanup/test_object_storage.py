from __future__ import annotations

from typing import Any

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
