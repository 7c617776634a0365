"""Quotas: whether a project may have as much at a time as tests make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import ServiceApi

AT_A_TIME = {
    "servers": 3,
    "cores": 3,
    "volumes": 3,
    "gigabytes of volumes": 3,
    "snapshots": 3,
    "networks": 4,
    "subnets": 4,
    "routers": 2,
    "floating IPs": 2,
}
"""What one class of Tempest's API tests holds in one project, together with what Tempest prepares for it."""

_OF_NOVA = {
    "servers": ("instances", "maxTotalInstances", "totalInstancesUsed"),
    "cores": ("cores", "maxTotalCores", "totalCoresUsed"),
}
_OF_CINDER = {
    "volumes": ("volumes", "maxTotalVolumes", "totalVolumesUsed"),
    "gigabytes of volumes": ("gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    "snapshots": ("snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"),
}
"""Name to those of the quota of new projects, of a project's limit, and of what is used of it."""
_OF_NEUTRON = {"networks": "network", "subnets": "subnet", "routers": "router", "floating IPs": "floatingip"}


class Quotas:
    """What may be had of each kind; kinds without a limit, and those that cannot be asked for, are not in it."""

    def __init__(self, is_admin: bool, project_id: str) -> None:
        self._is_admin, self._project_id = is_admin, project_id
        self._left: dict[str, int] = {}

    def ask_nova(self, api: ServiceApi) -> None:
        """Read how many servers a project may have."""
        self._ask_limits(api, api.versioned("v2.1"), _OF_NOVA)

    def ask_cinder(self, api: ServiceApi) -> None:
        """Read how many volumes and snapshots a project may have."""
        self._ask_limits(api, api.endpoint, _OF_CINDER)

    def ask_neutron(self, api: ServiceApi) -> None:
        """Read how many networks and the like a project may have."""
        path = f"quotas/{self._project_id}" + ("/default" if self._is_admin else "")
        quota = _inside(api.get(f"{api.versioned('v2.0')}/{path}"), "quota")
        self._note((name, quota.get(key), 0) for name, key in _OF_NEUTRON.items())

    def report(self, findings: CloudFindings) -> None:
        """Note what tests need more of than a project may have."""
        few = [(name, self._left[name], least) for name, least in AT_A_TIME.items() if self._is_too_few(name, least)]
        if few:
            text = ", ".join(f"{left} {name} (tests need {least})" for name, left, least in few)
            findings.lacks(
                Need.QUOTA,
                f"quota: a project may have only {text}; tests that need more fail with 'Quota exceeded'. Raise the "
                f"quotas of {'new projects' if self._is_admin else 'the accounts'}",
            )

    def _is_too_few(self, name: str, least: int) -> bool:
        return name in self._left and self._left[name] < least

    def _ask_limits(self, api: ServiceApi, base: str, kinds: Mapping[str, tuple[str, str, str]]) -> None:
        """Read the quotas of new projects, in which an administrator's tests run, or the limits of a user's project."""
        if self._is_admin:
            quota = _inside(api.get(f"{base}/os-quota-class-sets/default"), "quota_class_set")
            self._note((name, quota.get(key), 0) for name, (key, _, _) in kinds.items())
            return
        limits = _inside(_inside(api.get(f"{base}/limits"), "limits"), "absolute")
        self._note((name, limits.get(limit), limits.get(used)) for name, (_, limit, used) in kinds.items())

    def _note(self, quotas: Iterator[tuple[str, Any, Any]]) -> None:
        for name, limit, used in quotas:
            if isinstance(limit, int) and limit >= 0:
                self._left[name] = max(0, limit - (used if isinstance(used, int) else 0))


def _inside(body: Any, name: str) -> Mapping[str, Any]:
    value = body.get(name) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else {}
