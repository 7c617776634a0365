from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.execute_test.cloud.cleanup.removal import Removal
from refstack_worker.execute_test.cloud.cleanup.resources import Ownership, ResourceRemoval, floating_ips
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.failures import CloudFailure
from refstack_worker.execute_test.http import Denied
from tests.support.service_api import TableKeystone

RUN = Ownership("refstack-1-1-", frozenset({"p1"}), frozenset({"fip"}))


class Events:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def catalog(*names: str) -> list[dict[str, Any]]:
    urls = {"compute": "/c/v2.1", "volumev3": "/v/v3/admin", "network": "/n", "image": "/i"}
    return [
        {
            "type": name,
            "endpoints": [{"interface": "public", "region": "R", "url": f"http://cloud.example{urls[name]}"}],
        }
        for name in names
    ]


def removal(table: dict[str, Any], *services: str, is_admin: bool = True) -> tuple[bool, Removal, TableKeystone]:
    keystone, counted = TableKeystone(table), Removal(Events())  # type: ignore[arg-type]
    token = KeystoneToken("t", {"catalog": catalog(*services), "project": {"id": "admin"}})
    services_of = ResourceRemoval(keystone, token, "R", is_admin, counted)  # type: ignore[arg-type]
    return services_of.remove(RUN), counted, keystone


class Listing:
    """A list that loses what is deleted."""

    def __init__(self, key: str, path: str, *records: dict[str, Any]) -> None:
        self.key, self.path, self.records = key, path, records

    def __call__(self, keystone: TableKeystone) -> dict[str, Any]:
        gone = {path.partition("?")[0] for method, path, _ in keystone.sent if method == "DELETE"}
        return {self.key: [one for one in self.records if f"{self.path}/{one['id']}" not in gone]}


def test_only_what_is_the_runs_is_removed() -> None:
    servers = Listing(
        "servers",
        "/c/v2.1/servers",
        {"id": "s1", "name": "any", "tenant_id": "p1"},
        {"id": "s2", "name": "refstack-1-1-x", "tenant_id": "other"},
        {"id": "s3", "name": "refstack-1-10-x", "tenant_id": "other"},
        {"id": "s4", "name": "production", "tenant_id": "other"},
    )
    done, counted, keystone = removal({"/c/v2.1/servers/detail?all_tenants=1": servers}, "compute")
    assert done and counted.removed == 2
    assert [path for _, path, _ in keystone.sent] == ["/c/v2.1/servers/s1", "/c/v2.1/servers/s2"]


def test_a_router_is_detached_before_it_goes() -> None:
    routers = Listing(
        "routers", "/n/v2.0/routers", {"id": "r1", "name": "", "project_id": "p1", "external_gateway_info": {"a": 1}}
    )
    ports = {"ports": [{"id": "port", "device_owner": "network:router_interface", "project_id": "p1"}]}
    table = {"/n/v2.0/routers": routers, "/n/v2.0/ports?device_id=r1": ports, "/n/v2.0/ports": {"ports": []}}
    done, _, keystone = removal(table, "network")
    assert done
    assert keystone.sent == [
        ("PUT", "/n/v2.0/routers/r1", {"router": {"external_gateway_info": {}}}),
        ("PUT", "/n/v2.0/routers/r1/remove_router_interface", {"port_id": "port"}),
        ("DELETE", "/n/v2.0/routers/r1", None),
    ]


def test_floating_ips_by_id_alone() -> None:
    floating = Listing(
        "floatingips", "/n/v2.0/floatingips", {"id": "fip", "project_id": "x"}, {"id": "other", "project_id": "x"}
    )
    done, counted, keystone = removal({"/n/v2.0/floatingips": floating}, "network", is_admin=False)
    assert done and [path for _, path, _ in keystone.sent] == ["/n/v2.0/floatingips/fip"]


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ({"floatingips": [{"id": "a"}, {"id": "b"}]}, ["a", "b"]),
        ({"floatingips": []}, []),
        ({}, None),
        (Denied(403, "no"), None),
        (CloudFailure("the cloud cannot be reached"), None),
    ],
)
def test_floating_ips_that_cannot_be_listed_are_not_known(answer: Any, known: list[str] | None) -> None:
    keystone: Any = TableKeystone({"/n/v2.0/floatingips": answer})
    token = KeystoneToken("t", {"catalog": catalog("network")})
    assert floating_ips(keystone, token, "R") == known
    assert floating_ips(keystone, KeystoneToken("t", {}), "R") == []


def test_what_stays_is_named_with_its_id_and_how_to_remove_it() -> None:
    table = {
        "/i/v2/images?limit=1000": {
            "images": [{"id": "i1", "name": "refstack-1-1-i", "owner": "o", "protected": True}]
        },
        "DELETE /i/v2/images/i1": Denied(409, "in use"),
    }
    done, counted, keystone = removal(table, "image")
    assert not done and counted.remaining == ["image refstack-1-1-i (i1)"]
    assert keystone.sent[0][0] == "PATCH" and "DELETE http://cloud.example/i/v2/images/i1" in str(counted.events.texts)  # type: ignore[attr-defined]


def test_flavors_are_an_administrators_alone() -> None:
    flavors = {"flavors": [{"id": "f", "name": "refstack-1-1-f"}]}
    _, _, keystone = removal({"/c/v2.1/flavors/detail?is_public=None": flavors}, "compute", is_admin=False)
    assert keystone.sent == []


def test_an_image_is_protected_from_a_prefix_that_is_only_alike() -> None:
    assert not RUN.covers({"id": "x", "name": "refstack-1-1"}) and not RUN.covers({"id": "x", "name": None})
    assert RUN.covers({"id": "x", "os-vol-tenant-attr:tenant_id": "p1"})
