"""Cinder: the name of its service type, microversions, backends and backups."""

from __future__ import annotations

from collections.abc import Sequence

from refstack_worker.contract.cloud_needs import AREAS_OF_SERVICE, Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import ServiceApi, is_up


def find_catalog_type(offered: Sequence[str], findings: CloudFindings) -> None:
    """Choose the service type of Cinder that the catalogue has; Tempest's own default depends on its version.

    :param offered: the types that can be used, the best first.
    """
    if offered:
        findings.choose("volume", "catalog_type", offered[0], f"block storage: service type {offered[0]}")


def find_volume(api: ServiceApi, findings: CloudFindings, is_admin: bool) -> None:
    """Choose microversions, extensions and features."""
    oldest, newest = api.microversions("v3.0")
    if newest:
        findings.choose("volume", "min_microversion", oldest or "3.0")
        findings.choose(
            "volume", "max_microversion", newest, f"block storage: microversions {oldest or '3.0'} to {newest}"
        )
    extensions = sorted(str(one.get("alias")) for one in api.records(f"{api.endpoint}/extensions", "extensions"))
    if extensions:
        findings.choose("volume-feature-enabled", "api_extensions", extensions)
    if is_admin:
        _find_backends(api, findings)


def _find_backends(api: ServiceApi, findings: CloudFindings) -> None:
    services = api.records(f"{api.endpoint}/os-services", "services")
    if not services:
        return
    if not any(one.get("binary") == "cinder-volume" and is_up(one) for one in services):
        text = "block storage: no cinder-volume service is up and enabled; tests that create volumes fail"
        findings.lacks(Need.OTHER, text, AREAS_OF_SERVICE["cinder"])
    if not any(one.get("binary") == "cinder-backup" and is_up(one) for one in services):
        findings.choose("volume-feature-enabled", "backup", False)
        findings.choices.append("block storage: no backup service is up; backup tests are skipped")
    pools = api.records(f"{api.endpoint}/scheduler-stats/get_pools?detail=True", "pools")
    first = pools[0].get("capabilities", {}) if pools else {}
    for option, name in (("storage_protocol", "storage_protocol"), ("vendor_name", "vendor_name")):
        value = first.get(name) if isinstance(first, dict) else None
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str) and value:
            findings.choose("volume", option, value)
