from __future__ import annotations

from typing import Any

from refstack_worker.execute_test.cloud.account_networks import add_networks
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from tests.support.service_api import TableKeystone

NETWORKS = {
    "/v2.0/networks": {
        "networks": [
            {"id": "1", "name": "net-a", "project_id": "a", "subnets": ["s"], "status": "ACTIVE"},
            {"id": "2", "name": "net-b", "project_id": "b", "subnets": ["s"], "status": "ACTIVE"},
            {"id": "3", "name": "public", "project_id": "b", "subnets": ["s"], "router:external": True},
        ]
    }
}


def token(project: str, *types: str) -> KeystoneToken:
    endpoints = [{"interface": "public", "region": "R", "url": "http://cloud.example"}]
    catalog = [{"type": kind, "endpoints": endpoints} for kind in types]
    return KeystoneToken("t", {"project": {"id": project}, "catalog": catalog})


def named(*accounts: tuple[dict[str, Any], KeystoneToken], table: Any = None) -> list[Any]:
    add_networks(TableKeystone(NETWORKS if table is None else table), accounts, "R")  # type: ignore[arg-type]
    return [account.get("resources") for account, _ in accounts]


def test_each_account_joins_the_network_of_its_own_project() -> None:
    found = named(({}, token("a", "network")), ({}, token("b", "network")), ({}, token("c", "network")))
    assert found == [{"network": "net-a"}, {"network": "net-b"}, None]


def test_what_the_vendor_says_stays() -> None:
    given = {"resources": {"network": "mine"}}
    assert named((given, token("a", "network"))) == [{"network": "mine"}]


def test_a_cloud_without_networks() -> None:
    assert named(({}, token("a", "compute"))) == [None]
    assert named(({}, token("a", "network")), table={}) == [None]
