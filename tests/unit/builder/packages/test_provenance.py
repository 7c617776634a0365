"""The statement of a package's origin, and its envelope, as in-toto, SLSA and DSSE describe them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from refstack_worker.builder.packages import contents, provenance
from refstack_worker.builder.packages.contents import PackageRequest
from refstack_worker.builder.packages.provenance import BuildFacts
from refstack_worker.errors import BuildError


@pytest.fixture
def facts(version_folder: Path) -> BuildFacts:
    locks = contents.read_locks(version_folder)
    request = PackageRequest(version_folder, version_folder, revision=2)
    package = contents.describe(request, locks, contents.check_wheels(version_folder, locks))
    return BuildFacts(package, locks, "https://ci.example/builder")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "refstack-tempest-43.0.0_43.0.0-2_amd64.deb"
    path.write_bytes(b"package")
    return path


def test_a_statement_has_what_slsa_asks_for(facts: BuildFacts, file: Path) -> None:
    value = provenance.read(provenance.write(file, facts))
    assert (value["_type"], value["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert value["subject"] == [{"name": file.name, "digest": {"sha256": hashlib.sha256(b"package").hexdigest()}}]
    build, run = value["predicate"]["buildDefinition"], value["predicate"]["runDetails"]
    assert set(build) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert build["externalParameters"] == {
        "tempest": "43.0.0",
        "revision": 2,
        "format": "deb",
        "interpreters": ["3.11", "3.13"],
    }
    assert run["builder"]["id"] == "https://ci.example/builder"
    assert run["byproducts"] == [{"name": "vulnerabilities", "annotations": {"checked": False}}]


def test_all_that_goes_in_is_named_with_its_digest(facts: BuildFacts, file: Path, version_folder: Path) -> None:
    value = provenance.statement(file, facts)
    known = {one["name"]: one for one in value["predicate"]["buildDefinition"]["resolvedDependencies"]}
    there = [*version_folder.glob("*.toml"), *version_folder.glob("wheels/*")]
    assert set(known) == {path.name for path in there} and len(there) == 5
    for path in there:
        assert known[path.name]["digest"] == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert known["beta-1.0-py3-none-any.whl"]["uri"] == "pkg:pypi/beta@1.0"


def test_the_same_build_gives_the_same_statement(facts: BuildFacts, file: Path) -> None:
    assert provenance.write(file, facts).read_bytes() == provenance.write(file, facts).read_bytes()


def test_what_is_signed_is_dsses_encoding() -> None:
    """The example of DSSE's specification, with our type."""
    assert provenance.encoded(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


def test_an_envelope_is_read_back(facts: BuildFacts, file: Path) -> None:
    payload = provenance.payload_of(provenance.statement(file, facts))
    data = provenance.envelope(payload, {"A" * 40: b"\0signature"})
    assert data.count(b"\n") == 1 and base64.b64decode(json.loads(data)["payload"]) == payload
    assert provenance.opened(data, "x") == (payload, {"A" * 40: b"\0signature"})


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"payloadType": "text/plain", "payload": "", "signatures": []}',
     b'{"payloadType": "application/vnd.in-toto+json", "payload": "%%", "signatures": []}',
     b'{"payloadType": "application/vnd.in-toto+json", "payload": "", "signatures": [{}]}'],
)  # fmt: skip
def test_other_envelopes_are_refused(data: bytes) -> None:
    with pytest.raises(BuildError, match="not a DSSE envelope"):
        provenance.opened(data, "x")


@pytest.mark.parametrize(
    "change", [{"_type": "x"}, {"predicateType": "x"}, {"subject": []}, {"subject": [{}]}, {"subject": 3}]
)
def test_other_statements_are_refused(facts: BuildFacts, file: Path, change: dict[str, object]) -> None:
    with pytest.raises(BuildError, match="in-toto statement"):
        provenance.checked({**provenance.statement(file, facts), **change}, "x")
