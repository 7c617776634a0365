"""The document of a verdict: it holds no fractions, and gives back the verdict."""

from __future__ import annotations

import json
from typing import Any

from refstack_worker.contract.outcomes import Counts
from refstack_worker.contract.signed_verdict import FORMAT, canonical
from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.guidelines import OFFICIAL, StoredGuideline
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.verdict import Verdict, by_guideline, judge
from refstack_worker.server.domain.verdict_facts import ResultFacts, digest, document, verdict_of
from tests.unit.server.domain.test_verdict import UUIDS, schema_2

GUIDELINE = StoredGuideline(3, "2020.06", "ab" * 32, "interop", "op", None, 1.0, OFFICIAL)
FACTS = ResultFacts(7, 2, "run", "cd" * 32, Counts(1, 1, 0), 12.3456, 1.8e9, 1.8e9 + 60.5, 1.8e9 + 61, "47.0.0")


def made() -> Verdict:
    ran = [
        TestResult(1, "tempest.moved.T.test_get", UUIDS[4], "passed", 1.0, times=2),
        TestResult(2, "tempest.a.T.test_put", UUIDS[1], "failed", 1.0, reason="Traceback\nboom"),
    ]
    text = schema_2().replace('"required": ["put"]', '"required": []').replace('"get", "put"', '"get", "put"')
    return by_guideline(judge(parse(text), "Half", ran, {"tempest.a.T.test_old": "bug"}), GUIDELINE)


def small() -> dict[str, Any]:
    content = {
        "metadata": {"id": "2020.06", "schema": "2.0"},
        "platforms": {"OpenStack Powered Storage": {"components": [{"name": "s"}]}},
        "components": {"s": {"capabilities": {"required": ["put", "get"]}}},
        "capabilities": {
            "put": {"tests": {"tempest.a.T.test_put": {"idempotent_id": f"id-{UUIDS[1]}"}}},
            "get": {"tests": {"tempest.a.T.test_get": {}}},
        },
    }
    ran = [
        TestResult(1, "tempest.a.T.test_get", "", "passed", 1.0),
        TestResult(2, "tempest.a.T.test_put", UUIDS[1], "failed", 1.0, reason="boom"),
    ]
    verdict = judge(parse(json.dumps(content)), "Storage", ran)
    return document(FACTS, GUIDELINE, by_guideline(verdict, GUIDELINE), 1.8e9 + 61)


DOCUMENT = small()


def test_a_document_names_all_that_it_rests_on() -> None:
    assert DOCUMENT["format"] == FORMAT
    assert DOCUMENT["result"]["milliseconds"] == 12346
    assert DOCUMENT["run"] == {
        "id": 7,
        "attempt": 2,
        "kind": "run",
        "started_at": "2027-01-15T08:00:00Z",
        "ended_at": "2027-01-15T08:01:00Z",
    }
    assert DOCUMENT["guideline"]["sha256"] == "ab" * 32


def test_a_document_has_no_fractions_so_that_every_reader_writes_it_the_same() -> None:
    def check(value: Any) -> None:
        assert not isinstance(value, float), value
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(one)

    check(DOCUMENT)
    assert json.loads(canonical(DOCUMENT)) == DOCUMENT


def test_a_verdict_comes_back_as_it_was() -> None:
    verdict = made()
    again = verdict_of(json.loads(json.dumps(document(FACTS, GUIDELINE, verdict, 0.0))))
    assert again == verdict


def test_the_digest_changes_with_anything() -> None:
    assert digest(DOCUMENT) != digest({**DOCUMENT, "frozen_at": ""})
