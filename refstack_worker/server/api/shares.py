"""``/v1/runs/{test_id}/shares``: vendors that may look at a run."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.services import access
from refstack_worker.server.services.inputs.schema import ID, array, fields, integer, shape

SHARES = Resource("shares", "Let other vendors look at a run.")
_ALL = "/v1/runs/<int:test_id>/shares"
_VENDORS = shape(vendors=array(integer()))


@SHARES.call("GET", _ALL, Who.TOKEN, {200: _VENDORS}, (404,))
def list_shares(call: Call, test_id: int) -> Response:
    """List the vendors that a run is shared with.

    Only its owner sees them; they do not see one another.
    """
    access.owned_run(call.ledger, call.caller, test_id)
    return jsonify({"vendors": call.ledger.accounts.shares(test_id)})


@SHARES.call(
    "POST",
    _ALL,
    Who.WRITER,
    {200: _VENDORS},
    (404, 413),
    Takes(fields("vendor_id", vendor_id=ID), "NewShare", {"vendor_id": 2}),
)
def share_run(call: Call, test_id: int) -> Response:
    """Share a run with a vendor."""
    call.context.runs.owned(call.caller, test_id)
    call.ledger.accounts.share(test_id, call.body["vendor_id"])
    return jsonify({"vendors": call.ledger.accounts.shares(test_id)})


@SHARES.call("DELETE", f"{_ALL}/<int:vendor_id>", Who.WRITER, {204: None}, (404,))
def unshare_run(call: Call, test_id: int, vendor_id: int) -> Response:
    """Stop sharing a run with a vendor."""
    call.context.runs.owned(call.caller, test_id)
    call.ledger.accounts.unshare(test_id, vendor_id)
    return Response(status=204)
