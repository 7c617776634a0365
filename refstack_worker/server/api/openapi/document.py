"""The description of ``/v1`` in the OpenAPI format, served at ``/v1/openapi.json``; prose is in ``docs/api.md``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from refstack_worker.server.api.openapi import schemas as schemas
from refstack_worker.server.api.openapi.calls import CALLS, ID, Call
from refstack_worker.server.api.openapi.schemas import reference

Json = dict[str, Any]

_PROBLEMS = {
    400: "malformed",
    401: "no token, or not a good one",
    403: "the token may not do that",
    404: "not there, or somebody else's",
    409: "the state does not allow it",
    413: "too large",
    429: "too many calls; Retry-After says when",
    502: "another server does not answer as it should",
    503: "the database cannot be reached",
}


@functools.lru_cache(maxsize=1)
def document() -> Json:
    """Return the whole description."""
    paths: dict[str, Json] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "RefStack test queue",
            "version": "1",
            "description": "Trigger, watch, cancel and read runs of Tempest against clouds.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(call: Call) -> Json:
    made: Json = {
        "operationId": f"{call.method} {call.path}".replace("/v1/", "").translate(str.maketrans(" /{}.", "_____")),
        "summary": call.summary,
        "parameters": [*_path(call), *_named(call.query, "query"), *_named(call.headers, "header")],
        "responses": _responses(call),
    }
    if call.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": call.body}}}
    if call.is_open:
        made["security"] = []
    return made


def _path(call: Call) -> list[Json]:
    names = [part[1:-1] for part in call.path.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas.FORMAT if name == "name" else ID}
        for name in names
    ]


def _named(given: Mapping[str, Json], where: str) -> list[Json]:
    return [{"name": name, "in": where, "required": False, "schema": schema} for name, schema in given.items()]


def _responses(call: Call) -> Json:
    found = {str(status): _answer(status, schema) for status, schema in call.answers.items()}
    problem = {"application/problem+json": {"schema": reference("Problem")}}
    for status in (*call.problems, 429, 503):
        if not call.is_open:
            found[str(status)] = {"description": _PROBLEMS[status], "content": problem}
    return found


def _answer(status: int, schema: Any) -> Json:
    made: Json = {"description": {201: "made", 204: "gone", 304: "unchanged"}.get(status, "done")}
    if isinstance(schema, (str, tuple)):
        kinds = (schema,) if isinstance(schema, str) else schema
        made["content"] = {kind: {"schema": _content(kind)} for kind in kinds}
    elif schema is not None:
        made["content"] = {"application/json": {"schema": schema}}
    return made


def _content(kind: str) -> Json:
    return {} if kind in ("application/json", "text/event-stream") else {"type": "string"}
