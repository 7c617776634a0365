"""``/v1/audit``: who changed what, for operators."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response

from refstack_worker.server.api.links import next_page
from refstack_worker.server.api.openapi.schemas import page
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.services.inputs.schema import MAX_ID, integer

AUDIT = Resource("audit", "Who changed what, when, and from where (operators).")
MAX_ENTRIES = 1000


@AUDIT.call(
    "GET",
    "/v1/audit",
    Who.OPERATOR,
    {200: page("entries", "AuditEntry", "next_before")},
    takes=Takes(
        query={
            "before": integer(0, MAX_ID, description="Only entries with lower ids: the next page"),
            "limit": integer(1, MAX_ENTRIES),
        }
    ),
)
def list_audit(call: Call) -> Response:
    """List the audit log, newest first."""
    most = call.query.get("limit", 100)
    entries = call.ledger.audit.entries(call.query.get("before", 0), most)
    more = entries[-1].id if len(entries) == most else None
    body = {"entries": [{**asdict(one), "at": iso(one.at)} for one in entries], "next_before": more}
    return next_page(body, "before", more)
