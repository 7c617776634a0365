"""``/v1/runs/{test_id}/shares``: vendors that may look at a run."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.services import access, sharing
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import ID, array, fields, integer, shape, string

SHARES = Resource("shares", "Share a run with other vendors.")
_ALL = "/v1/runs/<int:test_id>/shares"
_VENDORS = shape(vendors=array(integer()), shares=array(shape(id=ID, name=string())))


@SHARES.call("GET", _ALL, Who.TOKEN, {200: _VENDORS}, (404,))
def list_shares(call: Call, test_id: int) -> Response:
    """List the vendors that a run is shared with.

    Only its owner sees them; they do not see one another.
    """
    access.owned_run(call.ledger, call.caller, test_id)
    return _listed(call, test_id)


@SHARES.call(
    "POST",
    _ALL,
    Who.WRITER,
    {200: _VENDORS},
    (404, 413),
    Takes(
        fields(vendor_id=ID, vendor=string(80, description="Its name, in place of the id")),
        "NewShare",
        {"vendor": "Example Cloud"},
    ),
)
def share_run(call: Call, test_id: int) -> Response:
    """Share a run with a vendor, by name.

    Operators can give the id instead; so can you, for a vendor with whom you already share a run.
    """
    call.context.runs.owned(call.caller, test_id)
    given = call.body
    if len(given) != 1:
        raise invalid("vendor", "give either vendor or vendor_id")
    sharing.share(call.ledger, call.caller, test_id, given["vendor_id"] if "vendor_id" in given else given["vendor"])
    return _listed(call, test_id)


@SHARES.call("DELETE", f"{_ALL}/<int:vendor_id>", Who.WRITER, {204: None}, (404,))
def unshare_run(call: Call, test_id: int, vendor_id: int) -> Response:
    """Stop sharing a run with a vendor."""
    call.context.runs.owned(call.caller, test_id)
    call.ledger.accounts.unshare(test_id, vendor_id)
    return Response(status=204)


def _listed(call: Call, test_id: int) -> Response:
    shared = sharing.vendors_of(call.ledger, test_id)
    shown = [{"id": one.id, "name": one.name} for one in shared]
    return jsonify({"vendors": [one.id for one in shared], "shares": shown})
