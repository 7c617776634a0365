"""Where a package comes from: an in-toto statement with SLSA's provenance, version 1, and its DSSE envelope.

The statement is written beside a package when it is built, and signed when the package is published, with the key of
the repository: nodes and operators pin that key already, gpg's agent keeps it, and its change is solved. DSSE leaves
the form of a signature open; here it is an OpenPGP signature over DSSE's pre-authentication encoding.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker.builder.packages.package import TempestPackage
from refstack_worker.builder.packages.sbom import purl
from refstack_worker.builder.packages.vulnerabilities import VulnerabilityReport
from refstack_worker.environments.lock import Lock
from refstack_worker.errors import BuildError
from refstack_worker.filesystem import sha256_of
from refstack_worker.version import software_version

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE = "https://refstack.openstack.org/build/tempest-package/v1"
"""What the parameters below mean: ``docs/publishing.md``."""
BUILDER = "https://refstack.openstack.org/builders/refstack-package"
"""Who builds, unless a builder says who it is."""
SUFFIX = ".provenance.json"
"""Name ending of the statement beside a package; it has no signature yet."""
NOT_CHECKED = {"checked": False}

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class BuildFacts:
    """What a statement says of a build, whatever the package's format."""

    package: TempestPackage
    locks: Sequence[Lock]
    builder: str = BUILDER
    """URI of the machine or service that builds."""
    vulnerabilities: VulnerabilityReport | None = None
    """None: not looked for."""


def statement(file: Path, facts: BuildFacts) -> dict[str, Any]:
    """Return what is known of a package's origin. The same build gives the same statement."""
    package = facts.package
    report = facts.vulnerabilities.to_json() if facts.vulnerabilities else NOT_CHECKED
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": file.name, "digest": {"sha256": digest_of(file)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "tempest": package.tempest,
                    "revision": package.revision,
                    "format": file.suffix.removeprefix("."),
                    "interpreters": list(package.pythons),
                },
                "internalParameters": {"SOURCE_DATE_EPOCH": package.epoch},
                "resolvedDependencies": _dependencies(facts.locks),
            },
            "runDetails": {
                "builder": {"id": facts.builder, "version": {"refstack-worker": software_version()}},
                "byproducts": [{"name": "vulnerabilities", "annotations": report}],
            },
        },
    }


def write(file: Path, facts: BuildFacts) -> Path:
    """Write the statement of a package beside it and return its file."""
    path = file.with_name(file.name + SUFFIX)
    path.write_text(json.dumps(statement(file, facts), indent=1, sort_keys=True) + "\n")
    return path


def read(path: Path) -> dict[str, Any]:
    """Return the statement in a file. :raises BuildError: it is none."""
    try:
        return checked(json.loads(path.read_text("utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path}: not a provenance statement: {error}") from error


def checked(value: Any, where: str) -> dict[str, Any]:
    """Return a statement about one file. :raises BuildError: it is none."""
    try:
        is_right = value["_type"] == STATEMENT_TYPE and value["predicateType"] == PREDICATE_TYPE
        (subject,) = value["subject"]
        is_right &= isinstance(subject["name"], str) and isinstance(subject["digest"]["sha256"], str)
    except (KeyError, TypeError, ValueError):
        is_right = False
    if not is_right:
        raise BuildError(f"{where}: not an in-toto statement with SLSA's provenance of one file")
    return dict(value)


def subject_of(value: Statement) -> tuple[str, str]:
    """Return name and SHA-256 of the file that a statement is about."""
    (subject,) = value["subject"]
    return str(subject["name"]), str(subject["digest"]["sha256"])


def about(value: Statement, file: Path) -> dict[str, Any]:
    """Return the same statement about another file: the package once it was signed, which changes an RPM's bytes."""
    return {**value, "subject": [{"name": file.name, "digest": {"sha256": digest_of(file)}}]}


def encoded(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: what is signed."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def payload_of(value: Statement) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("utf-8")


def envelope(payload: bytes, signatures: Mapping[str, bytes]) -> bytes:
    """Return a DSSE envelope on one line. :param signatures: by the fingerprint of the key."""
    value = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [
            {"keyid": key, "sig": base64.b64encode(signature).decode("ascii")} for key, signature in signatures.items()
        ],
    }
    return json.dumps(value, sort_keys=True).encode("ascii") + b"\n"


def opened(data: bytes, where: str) -> tuple[bytes, dict[str, bytes]]:
    """Return the payload of a DSSE envelope and its signatures by key id. :raises BuildError: it is none."""
    try:
        value = json.loads(data)
        if value["payloadType"] != PAYLOAD_TYPE:
            raise ValueError("another type of payload")
        signatures = {str(one["keyid"]): base64.b64decode(one["sig"], validate=True) for one in value["signatures"]}
        return base64.b64decode(value["payload"], validate=True), signatures
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BuildError(f"{where}: not a DSSE envelope with an in-toto statement: {error}") from error


def digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return sha256_of(stream)


def _dependencies(locks: Sequence[Lock]) -> list[dict[str, Any]]:
    wheels = {wheel.filename: wheel for lock in locks for wheel in lock.wheels}
    found: list[dict[str, Any]] = [{"name": lock.path.name, "digest": {"sha256": lock.digest}} for lock in locks]
    return found + [
        {"name": name, "uri": purl(wheels[name].name, wheels[name].version), "digest": {"sha256": wheels[name].sha256}}
        for name in sorted(wheels)
    ]
