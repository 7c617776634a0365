"""Swift: the features that it lists."""

from __future__ import annotations

import urllib.parse

from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import ServiceApi

NOT_FEATURES = ("swift", "container_sync")
"""What ``/info`` lists beside the features that tests ask for."""


def find_object_storage(api: ServiceApi, findings: CloudFindings) -> None:
    """Choose the features; without ``/info`` Tempest's default stays, which is all of them."""
    parts = urllib.parse.urlsplit(api.endpoint)
    info = api.get(f"{parts.scheme}://{parts.netloc}/info")
    if not isinstance(info, dict) or not isinstance(info.get("swift"), dict):
        return
    features = sorted(name for name in info if name not in NOT_FEATURES)
    findings.choose("object-storage-feature-enabled", "discoverable_apis", features)
    has_realms = bool((info.get("container_sync") or {}).get("realms"))
    findings.choose("object-storage-feature-enabled", "container_sync", has_realms)
    policies = info["swift"].get("policies", [])
    if len(policies) > 1:
        findings.choices.append(f"object storage: policies {', '.join(str(one.get('name')) for one in policies)}")
