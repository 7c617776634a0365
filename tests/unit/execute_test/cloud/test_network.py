from __future__ import annotations

from typing import Any

from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.network import find_network
from tests.support.service_api import service_api


def network(name: str, **more: Any) -> dict[str, Any]:
    external = bool(more.pop("external", False))
    return {"id": f"id-{name}", "name": name, "status": "ACTIVE", "subnets": ["s"], "router:external": external, **more}


def found(
    *networks: dict[str, Any],
    is_admin: bool = True,
    subnets: tuple[dict[str, Any], ...] = (),
    used: dict[str, int] | None = None,
    **given: str,
) -> CloudFindings:
    extensions = {"extensions": [{"alias": "router"}, {"alias": "quotas"}, {"alias": "network-ip-availability"}]}
    table = {"/v2.0/networks": {"networks": list(networks)}, "/v2.0/extensions": extensions}
    table["/v2.0/network-ip-availabilities"] = {
        "network_ip_availabilities": [
            {"network_id": name, "total_ips": 10, "used_ips": count} for name, count in (used or {}).items()
        ]
    }
    table["/v2.0/subnets"] = {"subnets": list(subnets)}
    table.update({f"/v2.0/networks/{one['id']}": {"network": one} for one in networks})
    findings = CloudFindings({"network": given})
    find_network(service_api(table, "http://cloud.example")[0], findings, "mine", is_admin)
    return findings


def test_the_default_public_network_and_the_extensions() -> None:
    findings = found(network("a", external=True), network("z", external=True, is_default=True), network("inner"))
    assert findings.conf["network"] == {"public_network_id": "id-z", "floating_network_name": "z"}
    assert findings.conf["network-feature-enabled"] == {
        "api_extensions": ["network-ip-availability", "quotas", "router"]
    }


def test_an_external_network_without_addresses_is_none() -> None:
    findings = found(network("a", external=True, subnets=[]), network("b", external=True, status="DOWN"))
    assert "network" not in findings.conf and "no external network" in findings.gaps[0].text


def test_a_public_network_that_is_full_is_the_last_choice() -> None:
    both = (network("a", external=True, is_default=True), network("b", external=True))
    assert found(*both, used={"id-a": 9, "id-b": 2}).conf["network"]["public_network_id"] == "id-b"
    findings = found(*both, used={"id-a": 9, "id-b": 10})
    assert findings.conf["network"]["public_network_id"] == "id-a"
    assert findings.gaps[0].lacks == "public network: a has only 1 free addresses (tests need 4)"


def test_a_public_network_with_ipv6_alone_gives_no_floating_addresses() -> None:
    subnets = ({"id": "six", "ip_version": 6}, {"id": "four", "ip_version": 4})
    both = (network("a", external=True, subnets=["six"]), network("b", external=True, subnets=["six", "four"]))
    assert found(*both, subnets=subnets).conf["network"]["public_network_id"] == "id-b"
    findings = found(both[0], subnets=subnets)
    assert "network" not in findings.conf and "no external network with IPv4 addresses" in findings.gaps[0].text
    # an ordinary user does not see the subnets of a public network
    assert found(both[0], subnets=()).conf["network"]["public_network_id"] == "id-a"


def test_the_vendors_network_wins() -> None:
    findings = found(network("a", external=True), network("b", external=True), public_network_id="id-b")
    assert findings.conf["network"] == {"floating_network_name": "b"} and not findings.gaps


def test_a_network_that_was_set_and_is_not_there_is_told() -> None:
    findings = found(network("a", external=True), public_network_id="public")
    assert "network" not in findings.conf
    assert "the cloud shows no network with the id public (network.public_network_id)" in findings.gaps[0].text


def test_an_ordinary_users_servers_join_the_projects_own_network() -> None:
    findings = found(network("shared", shared=True), network("own", project_id="mine"), is_admin=False)
    assert findings.conf["compute"] == {"fixed_network_name": "own"}
    assert found(network("shared", shared=True), is_admin=False).conf["compute"] == {"fixed_network_name": "shared"}
    assert any("no network with a subnet" in gap.text for gap in found(is_admin=False).gaps)


def test_a_shared_network_whose_name_has_lines_writes_no_options() -> None:
    name = "lan\n[service-clients]\nproxy_url = http://198.51.100.9:3128"
    shared = {"id": "n", "name": name, "shared": True, "subnets": ["s"], "project_id": "another"}
    table = {"/extensions": {"extensions": []}, "/networks": {"networks": [shared]}, "/subnets": {"subnets": []}}
    api, _ = service_api({f"/v2.0{path}": answer for path, answer in table.items()}, "http://cloud.example")
    findings = CloudFindings({})
    find_network(api, findings, "vendor", is_admin=False)
    assert "fixed_network_name" not in findings.conf.get("compute", {})
    assert any("compute.fixed_network_name is left out" in choice for choice in findings.choices)
