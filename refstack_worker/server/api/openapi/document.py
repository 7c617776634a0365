"""The OpenAPI document, made of the descriptions over the views; served at ``/v1/openapi.json``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from refstack_worker.server.api.openapi.schemas import EVENT_STREAM, FORMAT, SCHEMAS, reference
from refstack_worker.server.api.routing import Operation, Resource, Takes, Who
from refstack_worker.server.services.inputs.schema import ID, Json
from refstack_worker.server.serving.responses import TITLES

_PART = re.compile(r"<(?:\w+:)?(\w+)>")
_DONE = {201: "Created", 202: "Accepted", 204: "Done", 304: "Not modified"}
_RATE = {
    f"RateLimit-{name}": {"schema": {"type": "integer"}, "description": about}
    for name, about in (
        ("Limit", "Calls per minute"),
        ("Remaining", "Calls left"),
        ("Reset", "Seconds until the limit is reset"),
    )
}


def document(resources: Iterable[Resource], server: str) -> Json:
    """Return the whole description. :param server: base URL."""
    listed = list(resources)
    operations = [operation for resource in listed for operation in resource.operations]
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(path_of(operation), {})[operation.method.lower()] = _operation(operation)
    bodies = {one.takes.name: one.takes.body for one in operations if one.takes.body}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "RefStack test queue",
            "version": "1",
            "summary": "Start, watch, cancel and read runs of Tempest against OpenStack clouds.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": resource.tag, "description": resource.about} for resource in listed],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **bodies},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def path_of(operation: Operation) -> str:
    """Return an operation's path as OpenAPI writes it."""
    return _PART.sub(r"{\1}", operation.rule)


def _operation(operation: Operation) -> Json:
    takes = operation.takes
    summary, _, more = inspect.cleandoc(operation.view.__doc__ or "").partition("\n")
    described: Json = {
        "operationId": operation.view.__name__,
        "tags": [operation.tag],
        "summary": summary.rstrip("."),
        "description": " ".join(more.split()) or summary,
        "parameters": [*_path(operation), *_named(takes.query, "query"), *_named(takes.headers, "header")],
        "responses": _responses(operation),
        "x-access": operation.who.value,
        "x-rate-limit-cost": takes.cost,
    }
    if takes.body is not None:
        described["requestBody"] = _request_body(takes)
    if operation.who is Who.ANYONE:
        described["security"] = []
    return described


def _request_body(takes: Takes) -> Json:
    content: Json = {"schema": reference(takes.name)}
    if takes.example is not None:
        content["example"] = takes.example
    return {
        "required": bool((takes.body or {}).get("required")),  # else the call may come without one
        "description": f"At most {takes.max_bytes} bytes.",
        "content": {"application/json": content},
    }


def _path(operation: Operation) -> list[Json]:
    text = {"type": "string", "maxLength": 200}
    names = {"name": FORMAT, "reason": text, "node": text}
    return [
        {"name": name, "in": "path", "required": True, "schema": names.get(name, ID)}
        for name in _PART.findall(operation.rule)
    ]


def _named(given: Mapping[str, Json], where: str) -> list[Json]:
    return [{"name": name, "in": where, "required": False, "schema": schema} for name, schema in given.items()]


def _responses(operation: Operation) -> Json:
    found = {str(status): _answer(status, schema) for status, schema in operation.answers.items()}
    content = {"application/problem+json": {"schema": reference("Problem")}}
    # without a token, too, parameters are checked and wrong tokens counted
    usual = (400, 429) if operation.who is Who.ANYONE else (400, 401, 403, 429, 503)
    for status in sorted({*usual, *operation.problems}):
        found[str(status)] = {"description": TITLES[status], "content": content}
    return found


def _answer(status: int, schema: Any) -> Json:
    described: Json = {"description": _DONE.get(status, "OK"), "headers": _RATE}
    if isinstance(schema, (str, tuple)):
        kinds = (schema,) if isinstance(schema, str) else schema
        described["content"] = {kind: {"schema": _content(kind)} for kind in kinds}
    elif schema is not None:
        described["content"] = {"application/json": {"schema": schema}}
    return described


def _content(kind: str) -> Json:
    return {} if kind in ("application/json", EVENT_STREAM) else {"type": "string"}
