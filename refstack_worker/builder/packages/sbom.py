"""A bill of materials in CycloneDX 1.5 JSON (ECMA-424): what is in a per-version package, and under which licence."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from refstack_worker.builder.packages.licences import WheelFacts
from refstack_worker.environments.lock import Lock, LockedWheel

NAME = "sbom.cdx.json"
UNSTATED = "not stated"
"""Licence of a wheel whose metadata name none."""
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "refstack.openstack.org")


def purl(name: str, version: str) -> str:
    """Return the package URL of a Python distribution."""
    return f"pkg:pypi/{name}@{version.replace('+', '%2B')}"


def bill(package: str, locks: Sequence[Lock], facts: dict[str, WheelFacts], epoch: int) -> bytes:
    """Return the bill of one package.

    :param package: its name, as ``refstack-tempest-47.0.0``.
    :param facts: what the wheels say of themselves, by file name.
    :param epoch: the time that it carries, in seconds since 1970.
    """
    wheels = {wheel.filename: wheel for lock in locks for wheel in lock.wheels}
    ordered = [wheels[name] for name in sorted(wheels)]
    version = locks[0].version
    root = f"pkg:generic/{package}@{version}"
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, ' '.join(sorted(lock.digest for lock in locks)))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "refstack-package"}]},
            "component": {"type": "application", "bom-ref": root, "name": package, "version": version, "purl": root},
        },
        "components": [_component(wheel, facts[wheel.filename]) for wheel in ordered],
        "dependencies": _dependencies(root, ordered, facts, version),
    }
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _component(wheel: LockedWheel, about: WheelFacts) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": wheel.filename,
        "name": wheel.name,
        "version": wheel.version,
        "purl": purl(wheel.name, wheel.version),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "properties": [{"name": "refstack:file", "value": wheel.filename}],
    }
    if about.summary:
        component["description"] = about.summary
    if about.author:
        component["author"] = about.author
    named = {"expression": about.licence} if about.is_spdx else {"license": {"name": about.licence or UNSTATED}}
    component["licenses"] = [named]
    if about.homepage.startswith(("http://", "https://")):
        component["externalReferences"] = [{"type": "website", "url": about.homepage}]
    return component


def _dependencies(
    root: str, wheels: Sequence[LockedWheel], facts: dict[str, WheelFacts], version: str
) -> list[dict[str, Any]]:
    by_name: dict[str, list[str]] = {}
    for wheel in wheels:
        by_name.setdefault(wheel.name, []).append(wheel.filename)
    tempest = [wheel.filename for wheel in wheels if wheel.name == "tempest" and wheel.version == version]
    found = [{"ref": root, "dependsOn": tempest}]
    for wheel in wheels:
        needed = sorted(file for name in facts[wheel.filename].requires for file in by_name.get(name, ()))
        found.append({"ref": wheel.filename, "dependsOn": needed})
    return found
