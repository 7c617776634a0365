from __future__ import annotations

import socket
from typing import Any

import pytest

from refstack_worker.execute_test.cloud import validation
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image
from refstack_worker.execute_test.cloud.validation import find_validation, is_reachable
from tests.support.service_api import service_api

CIRROS = Image("i", "cirros-0.6", 1, 1, 1, True)
PLAIN = Image("i", "golden", 1, 1, 1, True)
TABLE = {
    "/v2.0/routers": {
        "routers": [
            {"external_gateway_info": {"network_id": "pub", "external_fixed_ips": [{"ip_address": "192.0.2.9"}]}},
            {"external_gateway_info": {"network_id": "other", "external_fixed_ips": [{"ip_address": "192.0.2.8"}]}},
        ]
    },
    "/v2.0/subnets": {
        "subnets": [{"gateway_ip": "192.0.2.1", "ip_version": 4}, {"gateway_ip": "2001:db8::1", "ip_version": 6}]
    },
    "/v2.0/floatingips": {
        "floatingips": [{"floating_network_id": "pub", "port_id": "p", "floating_ip_address": "192.0.2.7"}]
    },
}


def found(table: Any = None, image: Image | None = CIRROS, **given: Any) -> CloudFindings:
    findings = CloudFindings({"network": {"public_network_id": "pub"}, "validation": given})
    api = service_api(TABLE if table is None else table, "http://cloud.example")[0]
    find_validation(api, findings, image)
    return findings


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that are tried; none answers."""
    addresses: list[str] = []
    monkeypatch.setattr(validation, "is_reachable", lambda address: bool(addresses.append(address)))
    return addresses


def test_ssh_is_on_where_an_address_of_the_public_network_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "is_reachable", lambda address: address == "192.0.2.1")
    conf = found().conf["validation"]
    assert conf == {"run_validation": True, "connect_method": "floating", "image_ssh_user": "cirros"}


def test_routers_gateways_and_floating_ips_of_that_network_are_tried(tried: list[str]) -> None:
    (gap,) = found().gaps
    assert tried == ["192.0.2.9", "192.0.2.1", "192.0.2.7"]
    assert "cannot reach the public network (tried 192.0.2.9, 192.0.2.1, 192.0.2.7)" in gap.text


def test_an_image_that_does_not_tell_its_user(tried: list[str]) -> None:
    (gap,) = found(image=PLAIN).gaps
    assert "does not reveal its login user" in gap.text and tried == []
    assert "login user" not in found(image=PLAIN, image_ssh_user="admin").gaps[0].text


def test_a_public_network_without_any_address(tried: list[str]) -> None:
    assert "no known address in the public network" in found(table={}).gaps[0].text


def test_what_the_vendor_says_is_not_looked_at(tried: list[str]) -> None:
    findings = found(run_validation=True)
    assert findings.conf == {} and findings.gaps == [] and tried == []


def test_a_machine_that_refuses_is_there_and_one_of_the_nodes_own_is_never_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_reachable("127.0.0.1", port)
    assert is_reachable("127.0.0.1", port)
    assert not is_reachable("169.254.169.254", port)
    assert not is_reachable("not an address", port)
