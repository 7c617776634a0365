"""A verdict as a fact: one document with all that it rests on, which nothing that happens later changes.

The document is JSON without fractions (times are whole seconds as text, durations milliseconds), so that it has one
form that can be signed; see ``contract/signed_verdict.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from refstack_worker.contract.outcomes import Counts
from refstack_worker.contract.signed_verdict import FORMAT, canonical
from refstack_worker.server.domain.guidelines import KINDS, Capability, GuidelineTest, StoredGuideline
from refstack_worker.server.domain.tested_cloud import TestedCloud
from refstack_worker.server.domain.verdict import BY_NAME, CapabilityVerdict, JudgedTest, Verdict


@dataclass(frozen=True)
class CombinedResult:
    """One of the results that a verdict is over."""

    test_id: int
    digest: str
    cpid: str = ""
    tempest_version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the result as the document lists it."""
        return {
            "run": self.test_id,
            "sha256": self.digest,
            "cpid": self.cpid,
            "tempest_version": self.tempest_version,
        }


@dataclass(frozen=True)
class ResultFacts:
    """What a verdict rests on, beside guideline and tests."""

    test_id: int
    attempt: int
    kind: str
    """``run``, or ``imported``: it was not run here."""
    digest: str
    """SHA-256 of the posted stream."""
    counts: Counts
    seconds: float
    started_at: float
    ended_at: float
    accepted_at: float
    tempest_version: str = ""
    openstack_release: str = ""
    plugins: Mapping[str, str] = field(default_factory=dict)
    lock_digest: str = ""
    node: str = ""
    software: str = ""
    """Version of the worker."""
    cpid: str = ""
    cloud: str = ""
    """Label of the cloud."""
    tested: TestedCloud = TestedCloud()
    combined: tuple[CombinedResult, ...] = ()
    """The results that the verdict is over, the oldest first; empty: this one alone."""

    def as_combined(self) -> CombinedResult:
        """Return this result as one of several that a verdict is over."""
        return CombinedResult(self.test_id, self.digest, self.cpid, self.tempest_version)


def document(facts: ResultFacts, guideline: StoredGuideline, verdict: Verdict, frozen_at: float) -> dict[str, Any]:
    """Return the document of a verdict."""
    return {
        "format": FORMAT,
        "run": {
            "id": facts.test_id,
            "attempt": facts.attempt,
            "kind": facts.kind,
            "started_at": moment(facts.started_at),
            "ended_at": moment(facts.ended_at),
        },
        "result": {
            "sha256": facts.digest,
            "accepted_at": moment(facts.accepted_at),
            "milliseconds": round(facts.seconds * 1000),
            "passed": facts.counts.passed,
            "failed": facts.counts.failed,
            "skipped": facts.counts.skipped,
        },
        "guideline": {
            "name": guideline.name,
            "origin": guideline.origin,
            "sha256": guideline.digest,
            "source": guideline.source,
            "added_by": guideline.added_by,
        },
        "tempest": {
            "version": facts.tempest_version,
            "openstack_release": facts.openstack_release,
            "plugins": dict(facts.plugins),
            "lock_sha256": facts.lock_digest,
        },
        "node": {"name": facts.node, "software": facts.software},
        "cloud": {"cpid": facts.cpid, "label": facts.cloud},
        "verdict": {
            "program": verdict.program,
            "target": verdict.target,
            "passed": verdict.passed,
            "capabilities": {kind: [_capability(one) for one in verdict.capabilities.get(kind, ())] for kind in KINDS},
        },
        "combined": [one.to_json() for one in facts.combined],
        "not_combined": verdict.not_combined,
        "frozen_at": moment(frozen_at),
    }


def digest(of: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document."""
    return hashlib.sha256(canonical(of)).hexdigest()


def verdict_of(of: Mapping[str, Any]) -> Verdict:
    """Return the verdict that a document holds."""
    found, guideline = of["verdict"], of["guideline"]
    capabilities = {
        kind: tuple(_read_capability(one) for one in listed) for kind, listed in found["capabilities"].items()
    }
    return Verdict(
        guideline["name"],
        found["program"],
        found["target"],
        capabilities,
        origin=guideline["origin"],
        digest=guideline["sha256"],
        combined=tuple(one["run"] for one in of.get("combined", ())),
        not_combined=of.get("not_combined", ""),
    )


def moment(seconds: float) -> str:
    """Return a time as the document has it; empty: not known."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


def _capability(one: CapabilityVerdict) -> dict[str, Any]:
    return {
        "name": one.capability.name,
        "description": one.capability.description,
        "tests": [_test(test) for test in one.tests],
        "flagged": [_test(test) for test in one.flagged],
    }


def _test(judged: JudgedTest) -> dict[str, Any]:
    shown = judged.to_json()
    if judged.test.aliases:
        shown["aliases"] = list(judged.test.aliases)
    return shown


def _read_capability(one: Mapping[str, Any]) -> CapabilityVerdict:
    counted = tuple(_read_test(test, False) for test in one["tests"])
    flagged = tuple(_read_test(test, True) for test in one["flagged"])
    tests = tuple(judged.test for judged in (*counted, *flagged))
    return CapabilityVerdict(Capability(one["name"], one["description"], tests), counted, flagged)


def _read_test(shown: Mapping[str, Any], flagged: bool) -> JudgedTest:
    test = GuidelineTest(shown["name"], shown["uuid"], tuple(shown.get("aliases", ())), flagged)
    ran = shown["status"] != "missing"
    return JudgedTest(
        test,
        shown["status"],
        shown.get("ran_as", test.name if ran else ""),
        shown.get("decided_by", BY_NAME if ran else ""),
        shown.get("times", 1),
        shown.get("reason", ""),
        tuple((one["run"], one["status"]) for one in shown.get("outcomes", ())),
    )
