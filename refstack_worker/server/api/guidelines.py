"""``/v1/guidelines``: what a program requires of a cloud."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import GUIDELINE, page
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import guideline_json
from refstack_worker.server.domain import guideline_file
from refstack_worker.server.domain.guidelines import ADVISORY, KINDS, REQUIRED
from refstack_worker.server.services.guidelines import NEW_GUIDELINE
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import string
from refstack_worker.server.services.proposed_version import offered, offered_to
from refstack_worker.server.services.tempest_tests import proposal

GUIDELINES = Resource("guidelines", "Requirements of each interop program.")
_ONE = "/v1/guidelines/<int:guideline_id>"
MAX_BYTES = 2 * guideline_file.MAX_BYTES
"""Limit for a body: a file's quotes and line ends are escaped in JSON."""


@GUIDELINES.call("GET", "/v1/guidelines", Who.TOKEN, {200: page("guidelines", "Guideline")})
def list_guidelines(call: Call) -> Response:
    """List guidelines: the operators' and your own."""
    return jsonify({"guidelines": [guideline_json(one) for one in call.ledger.guidelines.all(call.scope)]})


@GUIDELINES.call(
    "POST",
    "/v1/guidelines",
    Who.WRITER,
    {201: GUIDELINE},
    (413, 502),
    Takes(NEW_GUIDELINE, "NewGuideline", {"url": "https://opendev.org/…/2020.06.json"}, max_bytes=MAX_BYTES, cost=20),
)
def add_guideline(call: Call) -> Response:
    """Add a guideline, by its text or by the URL of the file."""
    given = [call.body.get(name, "") for name in ("text", "url", "name")]
    stored = call.context.guidelines.add(call.caller, *given)
    answer = jsonify(guideline_json(stored))
    answer.status_code = 201
    return answer


@GUIDELINES.call("GET", _ONE, Who.TOKEN, {200: GUIDELINE}, (404,))
def show_guideline(call: Call, guideline_id: int) -> Response:
    """Show a guideline: its programs with the tests that they require, and the Tempest version that fits each."""
    stored, found = call.ledger.guidelines.get(guideline_id, call.scope)
    there = offered(call.ledger)
    programs = [
        {
            "name": program.name,
            "description": program.description,
            "target": program.target,
            "required": len(tests),
            "advisory": len(list(program.tests((ADVISORY,)))),
            "tempest_version": proposal(found, tests, offered_to(tests, there)).version or None,
            "tests": list(program.entries()),
            "capabilities": [
                {"name": one.name, "level": level, "description": one.description, "tests": len(one.tests)}
                for level in KINDS
                for one in program.capabilities.get(level, ())
            ],
        }
        for program in found.programs.values()
        for tests in (tuple(program.tests()),)
    ]
    about = {"releases": list(found.releases), "references": dict(found.references)}
    return jsonify({**guideline_json(stored), **about, "programs": programs})


@GUIDELINES.call(
    "GET",
    f"{_ONE}/tests",
    Who.TOKEN,
    {200: page("tests", "GuidelineTest")},
    (404,),
    Takes(
        query={
            "program": string(200, description="In full, its last words, or RefStack's word for it"),
            "level": string(60, description="required (default), advisory, deprecated, removed; several with commas"),
        }
    ),
)
def list_guideline_tests(call: Call, guideline_id: int) -> Response:
    """List the tests of a program, each once."""
    _stored, found = call.ledger.guidelines.get(guideline_id, call.scope)
    program = found.program(call.query.get("program", ""))
    kinds = tuple(word.strip() for word in call.query.get("level", REQUIRED).split(","))
    if unknown := set(kinds) - set(KINDS):
        raise invalid("level", f"{', '.join(sorted(unknown))[:60]} is not one of {', '.join(KINDS)}")
    tests = [
        {"name": test.name, "uuid": test.uuid, "aliases": list(test.aliases), "flagged": test.flagged}
        for test in program.tests(kinds, flagged=True)
    ]
    return jsonify({"guideline": found.id, "program": program.name, "tests": tests})


@GUIDELINES.call("DELETE", _ONE, Who.WRITER, {204: None}, (404,))
def delete_guideline(call: Call, guideline_id: int) -> Response:
    """Delete a guideline; the verdicts that it gave stay."""
    call.context.guidelines.delete(call.caller, guideline_id)
    return Response(status=204)
