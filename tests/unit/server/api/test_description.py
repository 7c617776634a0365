"""The OpenAPI document: complete, of valid schemas, and true to what the calls do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from refstack_worker.server.api.description import RESOURCES
from refstack_worker.server.api.openapi.document import document
from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.inputs.checks import check
from refstack_worker.server.serving.responses import MAX_CALL_BODY

DOCUMENT = document(RESOURCES, "https://refstack.example")
OPERATIONS = [
    pytest.param(path, method, one, id=one["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, one in methods.items()
]


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return create_app(ledger).test_client()


def test_it_needs_no_token_and_names_this_server(client: FlaskClient, ledger: Ledger) -> None:
    told = client.get("/v1/openapi.json").json
    assert told["openapi"] == "3.1.0" and told["servers"] == [{"url": ledger.settings.web.address}]


def test_every_reference_leads_somewhere_and_every_schema_is_valid() -> None:
    for name in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(DOCUMENT)):
        assert name in DOCUMENT["components"]["schemas"], name
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert "nullable" not in json.dumps(schema), name


def test_operation_ids_are_unique() -> None:
    ids = [param.values[2]["operationId"] for param in OPERATIONS]
    assert len(ids) == len(set(ids)) > 40


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_call_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["description"] and operation["tags"]
    named = set(re.findall(r"{(\w+)}", path))
    assert named == {one["name"] for one in operation["parameters"] if one["in"] == "path"}
    body = operation.get("requestBody")
    if body:
        content = body["content"]["application/json"]
        # its example is one that the call takes
        schema = DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        check(schema, content["example"])
        assert body["required"] == bool(schema.get("required")) and "413" in operation["responses"]
        # no call is described with a body that the server refuses unread
        assert int(re.findall(r"\d+", body["description"])[0]) <= MAX_CALL_BODY


def test_a_body_that_need_not_be_there_may_be_left_out(client: FlaskClient, ledger: Ledger) -> None:
    described = DOCUMENT["paths"]["/v1/queue/pause"]["post"]["requestBody"]
    headers = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
    assert described["required"] is False and client.post("/v1/queue/pause", headers=headers).status_code == 200


def test_answers_have_the_shapes_that_are_described(client: FlaskClient, ledger: Ledger) -> None:
    headers = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
    client.post("/v1/runs", json={"tempest_version": "47.0.0"}, headers=headers)
    paths = ["/v1/me", "/v1/runs", "/v1/runs/1", "/v1/runs/1/messages", "/v1/runs/1/attempts", "/v1/runs/1/place",
             "/v1/clouds", "/v1/guidelines", "/v1/tokens", "/v1/vendors", "/v1/users", "/v1/nodes", "/v1/queue",
             "/v1/demand", "/v1/audit", "/v1/announcement"]  # fmt: skip
    for path in paths:
        answer = client.get(path, headers=headers)
        described = DOCUMENT["paths"][re.sub(r"/1(?=/|$)", "/{test_id}", path)]["get"]["responses"]["200"]
        schema = {**described["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.json)
        assert int(answer.headers["RateLimit-Limit"]) == ledger.settings.web.rate_limit
        assert "RateLimit-Remaining" in answer.headers


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/problems/{reason}"])
def test_refusals_without_a_token_are_described(client: FlaskClient, path: str) -> None:
    described = DOCUMENT["paths"][path]["get"]["responses"]
    asked = path.format(reason="usage")
    assert client.get(asked, query_string={"nonsense": "1"}).status_code == 400 and "400" in described
    for number in range(11):
        last = client.get(asked, headers={"Authorization": f"Bearer wrong-{number}"}).status_code
    assert last == 429 and "429" in described
