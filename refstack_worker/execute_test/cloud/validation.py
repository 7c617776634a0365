"""Whether tests can log in to servers by SSH: only if this machine reaches the floating addresses."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.contract.networks import is_forbidden
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image
from refstack_worker.execute_test.cloud.service_api import ServiceApi

SSH_PORT = 22
PROBE_SECONDS = 2.0
MAX_PROBES = 4
SKIPPED_WITHOUT = "tests that log in to servers (host name, number of vCPUs, rebuild and the like) are skipped"


def find_validation(api: ServiceApi | None, findings: CloudFindings, image: Image | None) -> None:
    """Turn SSH into servers on if it can work; else say why not, and what that skips."""
    if findings.is_given("validation", "run_validation"):
        return
    if image is None and not findings.value("compute", "image_ref"):
        # there are no servers either, which is reported
        findings.choose("validation", "run_validation", False)
        return
    reason = _obstacle(api, findings, image)
    findings.choose("validation", "run_validation", not reason)
    if reason:
        findings.lacks(Need.SSH, f"SSH: {reason}; {SKIPPED_WITHOUT}. Set validation.run_validation to try it anyway")
        return
    findings.choose("validation", "connect_method", "floating")
    if image is not None:
        login = f"SSH: login as {image.ssh_user} through floating IPs"
        findings.choose("validation", "image_ssh_user", image.ssh_user, login)


def _obstacle(api: ServiceApi | None, findings: CloudFindings, image: Image | None) -> str:
    if api is None or not findings.value("network", "public_network_id"):
        return "no public network to reach servers through"
    if not findings.is_given("validation", "image_ssh_user") and not (image and image.ssh_user):
        return "the image's name does not reveal its login user (validation.image_ssh_user)"
    addresses = list(_floating_side(api, str(findings.value("network", "public_network_id"))))[:MAX_PROBES]
    if not addresses:
        return "no known address in the public network to try"
    if not any(is_reachable(address) for address in addresses):
        return f"this machine cannot reach the public network (tried {', '.join(addresses)})"
    return ""


def _floating_side(api: ServiceApi, network_id: str) -> Iterable[str]:
    """Yield addresses of the public network that should respond: routers, gateways, floating IPs in use."""
    base = api.versioned("v2.0")
    for router in api.records(f"{base}/routers", "routers"):
        gateway = router.get("external_gateway_info") or {}
        for fixed in gateway.get("external_fixed_ips", []) if gateway.get("network_id") == network_id else []:
            yield str(fixed.get("ip_address"))
    for subnet in api.records(f"{base}/subnets?network_id={network_id}", "subnets"):
        if subnet.get("gateway_ip") and subnet.get("ip_version", 4) == 4:
            yield str(subnet["gateway_ip"])
    for floating in api.records(f"{base}/floatingips", "floatingips"):
        if floating.get("floating_network_id") == network_id and floating.get("port_id"):
            yield str(floating.get("floating_ip_address"))


def is_reachable(address: str, port: int = SSH_PORT, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether a machine at an address responds, also by refusing the connection."""
    with contextlib.suppress(ValueError):
        if is_forbidden(address):
            return False
        try:
            socket.create_connection((address, port), seconds).close()
            return True
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False
