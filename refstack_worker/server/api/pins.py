"""``/v1/runs/N/pin``: runs that are kept however old they are."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import RUN
from refstack_worker.server.api.routing import Call, Who
from refstack_worker.server.api.runs import RUNS

_PIN = "/v1/runs/<int:test_id>/pin"


@RUNS.call("PUT", _PIN, Who.WRITER, {200: RUN}, (404, 409))
def pin_run(call: Call, test_id: int) -> Response:
    """Keep a run that has ended, and its result, regardless of age. It cannot be deleted while it is pinned."""
    call.context.runs.pin(call.caller, test_id)
    (shown,) = call.runs_json([call.run(test_id)])
    return jsonify(shown)


@RUNS.call("DELETE", _PIN, Who.WRITER, {204: None}, (404,))
def unpin_run(call: Call, test_id: int) -> Response:
    """Unpin a run: from then on it is removed like other old runs."""
    call.context.runs.unpin(call.caller, test_id)
    return Response(status=204)
