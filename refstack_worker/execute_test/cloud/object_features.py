"""Swift: the features that it lists."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Any

from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import ServiceApi

NOT_FEATURES = ("swift", "container_sync")
"""What ``/info`` lists beside the features that tests ask for."""


def find_object_storage(api: ServiceApi, findings: CloudFindings) -> None:
    """Choose the features; without ``/info`` Tempest's default stays, which is all of them."""
    info = next((info for info in map(api.get, _addresses(api)) if _is_of_swift(info)), None)
    if info is None:
        return
    features = sorted(name for name in info if name not in NOT_FEATURES)
    findings.choose("object-storage-feature-enabled", "discoverable_apis", features)
    has_realms = bool((info.get("container_sync") or {}).get("realms"))
    findings.choose("object-storage-feature-enabled", "container_sync", has_realms)
    policies = info["swift"].get("policies") or []
    if len(policies) > 1:
        findings.choices.append(f"object storage: policies {', '.join(str(one.get('name')) for one in policies)}")


def _addresses(api: ServiceApi) -> Iterator[str]:
    """Yield where the features may be listed: beside the version, and at the host, where Tempest looks."""
    parts = urllib.parse.urlsplit(api.endpoint)
    host = f"{parts.scheme}://{parts.netloc}"
    if api.root != host:
        yield f"{api.root}/info"
    yield f"{host}/info"


def _is_of_swift(info: Any) -> bool:
    return isinstance(info, dict) and isinstance(info.get("swift"), dict)
