"""Neutron: the public network, extensions, and which of a project's networks servers join."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

from refstack_worker.contract.cloud_needs import AREAS_OF_SERVICE, Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import WHAT_TO_CHECK, ServiceApi, not_listed

Network = Mapping[str, Any]
LEAST_FREE = 4
"""Addresses of the public network that one class of tests holds at a time: of floating IPs and of routers."""


def find_network(api: ServiceApi, findings: CloudFindings, project_id: str, is_admin: bool) -> None:
    """Choose the public network, the extensions and, for ordinary users, the network of servers."""
    base = api.versioned("v2.0")
    extensions = sorted(str(one.get("alias")) for one in api.records(f"{base}/extensions", "extensions"))
    if extensions:
        findings.choose("network-feature-enabled", "api_extensions", extensions)
        if "router" not in extensions:
            _do_without_routers(findings, is_admin)
    networks = api.known_records(_list_url(api), "networks")
    _look_at_given(api, findings, networks is not None)
    if networks is None:
        if not findings.is_given("network", "public_network_id"):
            text = f"public network: {not_listed(_list_url(api), 'networks')}; tests of external routers, floating IPs"
            findings.lacks(Need.PUBLIC_NETWORK, f"{text} and SSH are skipped. {WHAT_TO_CHECK}")
        return
    free = _free_addresses(api) if "network-ip-availability" in extensions and is_admin else {}
    _find_public_network(_with_ipv4(networks, api.records(f"{base}/subnets", "subnets")), free, findings)
    if not is_admin:
        _find_project_network(networks, findings, project_id)


def _list_url(api: ServiceApi) -> str:
    return f"{api.versioned('v2.0')}/networks"


def _do_without_routers(findings: CloudFindings, is_admin: bool) -> None:
    # for floating addresses Tempest would make a router for every class with servers
    findings.choose("validation", "connect_method", "fixed")
    if is_admin:
        text = "network: this Neutron has no routers; tests for which Tempest creates routers are left out"
        findings.lacks(Need.PROJECT_ROUTER, text)


def _free_addresses(api: ServiceApi) -> dict[str, int]:
    """Return how many IPv4 addresses each network can still give, as an administrator sees it."""
    query = urllib.parse.urlencode({"ip_version": 4})
    listed = api.records(f"{api.versioned('v2.0')}/network-ip-availabilities?{query}", "network_ip_availabilities")
    return {str(one.get("network_id")): int(one.get("total_ips") or 0) - int(one.get("used_ips") or 0)
            for one in listed}  # fmt: skip


def _public_networks(networks: list[dict[str, Any]], free: Mapping[str, int]) -> list[Network]:
    """Return the external networks, first those with free addresses, of these the cloud's default one."""
    external = [one for one in networks if one.get("router:external") and one.get("subnets") and _is_up(one)]

    def rank(network: Network) -> tuple[bool, bool, str]:
        is_full = free.get(str(network["id"]), LEAST_FREE) < LEAST_FREE
        return is_full, not network.get("is_default"), str(network.get("name"))

    return sorted(external, key=rank)


def _with_ipv4(networks: list[dict[str, Any]], subnets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out networks that are known to have IPv6 addresses alone: floating IPs are IPv4.

    :param subnets: those that the user sees; ordinary users see none of a public network.
    """
    versions = {str(one.get("id")): one.get("ip_version", 4) for one in subnets}
    return [one for one in networks if any(versions.get(str(subnet), 4) == 4 for subnet in one.get("subnets") or ())]


def _look_at_given(api: ServiceApi, findings: CloudFindings, are_listed: bool) -> None:
    """Complete a public network that was set by its id; report one that the cloud does not show."""
    given = str(findings.given.get("network", {}).get("public_network_id") or "")
    if not given:
        return
    shown = api.get(f"{_list_url(api)}/{urllib.parse.quote(given, safe='')}")
    network = shown.get("network") if isinstance(shown, dict) else None
    if isinstance(network, dict):
        findings.choose("network", "floating_network_name", str(network.get("name") or given))
        return
    shows_none = f"the cloud shows no network with the id {given}"
    why = shows_none if are_listed else not_listed(_list_url(api), "networks")
    text = f"public network: {why} (network.public_network_id)"
    text += "; tests of floating IPs and of external routers fail"
    findings.lacks(Need.OTHER, text, AREAS_OF_SERVICE["neutron"])


def _find_public_network(networks: list[dict[str, Any]], free: Mapping[str, int], findings: CloudFindings) -> None:
    if findings.is_given("network", "public_network_id"):
        return
    public = _public_networks(networks, free)
    if not public:
        findings.lacks(
            Need.PUBLIC_NETWORK,
            "public network: the cloud shows no external network with IPv4 addresses; tests of external routers, "
            "floating IPs and SSH are skipped. Create one, or set network.public_network_id",
        )
        return
    first = public[0]
    left = free.get(str(first["id"]), LEAST_FREE)
    if left < LEAST_FREE:
        text = f"public network: {first.get('name')} has only {left} free addresses (tests need {LEAST_FREE})"
        findings.lacks(Need.OTHER, f"{text}; tests that need more fail", AREAS_OF_SERVICE["neutron"])
    others = f", of {len(public)}" if len(public) > 1 else ""
    findings.choose("network", "public_network_id", str(first["id"]), f"public network: {first.get('name')}{others}")
    findings.choose("network", "floating_network_name", str(first.get("name") or first["id"]))


def project_network(networks: list[dict[str, Any]], project_id: str) -> str:
    """Return the name of the network that servers of a project join: its own, or a shared one; empty without any."""
    own = [one for one in networks if one.get("project_id", one.get("tenant_id")) == project_id and _is_up(one)]
    inside = [one for one in own if not one.get("router:external") and one.get("subnets")]
    shared = [one for one in networks if one.get("shared") and not one.get("router:external") and one.get("subnets")]
    candidates = sorted(inside or shared, key=lambda one: str(one.get("name")))
    return str(candidates[0].get("name") or candidates[0]["id"]) if candidates else ""


def _find_project_network(networks: list[dict[str, Any]], findings: CloudFindings, project_id: str) -> None:
    name = project_network(networks, project_id)
    if name:
        findings.choose("compute", "fixed_network_name", name, f"network of servers: {name}")
    else:
        findings.lacks(
            Need.PROJECT_NETWORK,
            "network: this user's project has no network with a subnet; servers may start without one, or not at all",
        )


def _is_up(network: Network) -> bool:
    return str(network.get("status", "ACTIVE")).upper() == "ACTIVE" and network.get("admin_state_up", True)
