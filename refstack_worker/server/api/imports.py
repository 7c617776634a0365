"""``/v1/imports``: results that were made elsewhere."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import RUN
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.services import imports
from refstack_worker.server.serving.responses import MAX_CALL_BODY

IMPORTS = Resource("imports", "Results that were made elsewhere.")
_EXAMPLE = {"content": "…", "tempest_version": "47.0.0", "cpid": "c0ffee", "label": "June"}


@IMPORTS.call(
    "POST",
    "/v1/imports",
    Who.WRITER,
    {201: RUN},
    (400, 413),
    Takes(imports.NEW_IMPORT, "NewImport", _EXAMPLE, max_bytes=MAX_CALL_BODY, cost=60),
)
def import_result(call: Call) -> Response:
    """Import a result: JSON of refstack-client, or subunit v1 or v2. It is marked as not run here."""
    answer = jsonify(call.runs_json([imports.take_in(call.ledger, call.caller, call.body)])[0])
    answer.status_code = 201
    return answer
