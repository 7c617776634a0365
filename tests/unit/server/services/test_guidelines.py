"""Programs by which a run is asked for: with the names that guidelines really have, and never without a test."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from refstack_worker.server.app import create_app
from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Event, stream
from tests.unit.server.domain.test_verdict import UUIDS, schema_2

RUN = {"tempest_version": "47.0.0", "conf_json": {"identity": {"uri_v3": "https://k.example/v3", "password": "p"}}}


class Operator:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.client = create_app(ledger).test_client()
        self.token = ledger.tokens.add("op", ["operator"], None)[1]

    def add(self, text: str) -> None:
        self.ledger.guidelines.add(text, StoredGuideline(0, "", ""))

    def post(self, path: str, program: str, body: Any = None, **more: Any) -> Any:
        guideline = {"name": "2020.06", "program": program, **more}
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.client.post(path, json={**(body or RUN), "guideline": guideline}, headers=headers)


@pytest.fixture
def operator(ledger: Ledger) -> Operator:
    return Operator(ledger)


def only_advisory() -> str:
    """Return a guideline like orchestration.next: all capabilities of a program are advisory."""
    guideline = json.loads(schema_2())
    guideline["components"]["two"] = {"capabilities": {"required": [], "advisory": ["get"]}}
    return json.dumps(guideline)


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/check"])
def test_a_program_without_required_tests_runs_by_its_advisory_ones_alone(operator: Operator, path: str) -> None:
    operator.add(only_advisory())
    refused = operator.post(path, "Half")
    assert refused.status_code == 400
    assert "Half has no required tests; ask for its advisory tests, too" in refused.json["detail"]
    for more in ({"advisory": True}, {"tests": "api"}):
        assert operator.post(path, "Half", **more).status_code < 300, more


def test_a_program_without_any_tests_is_refused(operator: Operator) -> None:
    guideline = json.loads(only_advisory())
    guideline["capabilities"]["get"]["tests"] = {}
    operator.add(json.dumps(guideline))
    assert "Half has no required or advisory tests" in operator.post("/v1/runs", "Half", advisory=True).json["detail"]
    assert operator.post("/v1/runs", "Half").json["detail"].endswith("Half has no required tests")


def test_an_imported_result_is_judged_by_it_all_the_same(operator: Operator) -> None:
    operator.add(only_advisory())
    content = base64.b64encode(stream([Event("tempest.a.T.test_get")])).decode()
    answer = operator.post("/v1/imports", "Half", {"content": content, "tempest_version": "47.0.0"})
    assert answer.status_code == 201, answer.json


def test_a_published_name_that_no_test_can_have_is_asked_for_by_its_id(operator: Operator) -> None:
    name = "heat_tempest_plugin.tests.functional.test_preview.StackPreviewTest.test_nested_template:Wherej"
    operator.add(schema_2(**{name: {"idempotent_id": UUIDS[1]}}))
    answer = operator.post("/v1/runs", "Storage")
    assert answer.status_code == 201, answer.json
    testcases = operator.ledger.runs.get(answer.json["test_id"]).spec.testcases
    assert testcases is not None and f"{name}[id-{UUIDS[1]}]" in testcases.names
