"""Links that need no sign-in, to a run and to badge and feed of a cloud; and ``/v1/matrix``, the verdicts of clouds."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.domain.links import CloudVerdict, Link
from refstack_worker.server.services import access
from refstack_worker.server.services.inputs.schema import fields, integer, string
from refstack_worker.server.services.links import DEFAULT_DAYS, MAX_DAYS, link_to_cloud, link_to_run, remove_link
from refstack_worker.server.services.matrix import MAX_VERDICTS, matrix

LINKS = Resource("links", "Show a run, or badge and feed of a cloud, without a sign-in; the verdicts of clouds.")
_RUN = "/v1/runs/<int:test_id>/links"
_CLOUD = "/v1/clouds/<int:cloud_id>/links"
_NEW_RUN_LINK = fields(days=integer(1, MAX_DAYS, description=f"Days until it expires; default: {DEFAULT_DAYS}"))
_NEW_CLOUD_LINK = fields("program", program=string(200, minLength=1, description="In full, or its last words"))


@LINKS.call("GET", _RUN, Who.TOKEN, {200: page("links", "Link")}, (404,))
def list_run_links(call: Call, test_id: int) -> Response:
    """List the valid links to a run's report, without their secrets."""
    access.owned_run(call.ledger, call.caller, test_id)
    return jsonify({"links": [_link(one) for one in call.ledger.links.of_run(test_id)]})


@LINKS.call(
    "POST", _RUN, Who.WRITER, {201: reference("Link")}, (404, 413), Takes(_NEW_RUN_LINK, "NewRunLink", {"days": 30})
)
def add_run_link(call: Call, test_id: int) -> Response:
    """Create a link to a run's report that needs no sign-in. Its URL is shown only in this answer."""
    made, secret = link_to_run(call.ledger, call.caller, test_id, call.body.get("days", DEFAULT_DAYS))
    return _created(made, {"url": f"{call.context.settings.web.address}/shared/{secret}"})


@LINKS.call("DELETE", f"{_RUN}/<int:link_id>", Who.WRITER, {204: None}, (404,))
def delete_run_link(call: Call, test_id: int, link_id: int) -> Response:
    """Delete a link to a run's report: it stops working at once."""
    access.owned_run(call.ledger, call.caller, test_id)
    remove_link(call.ledger, call.caller, call.ledger.links.of_run(test_id), link_id)
    return Response(status=204)


@LINKS.call("GET", _CLOUD, Who.TOKEN, {200: page("links", "Link")}, (404,))
def list_cloud_links(call: Call, cloud_id: int) -> Response:
    """List the links to badges and feeds of a cloud, without their secrets."""
    call.cloud(cloud_id)
    return jsonify({"links": [_link(one) for one in call.ledger.links.of_cloud(cloud_id)]})


@LINKS.call(
    "POST",
    _CLOUD,
    Who.WRITER,
    {201: reference("Link")},
    (404, 413),
    Takes(_NEW_CLOUD_LINK, "NewCloudLink", {"program": "OpenStack Powered Storage"}),
)
def add_cloud_link(call: Call, cloud_id: int) -> Response:
    """Create a badge (SVG) and a feed (Atom) for a cloud and a program. Their URLs are shown only in this answer.

    They need no sign-in, and show the latest verdicts: program, guideline, passed or not, how many tests, and when.
    """
    made, secret = link_to_cloud(call.ledger, call.caller, cloud_id, call.body["program"])
    site = call.context.settings.web.address
    return _created(made, {"badge": f"{site}/badges/{secret}.svg", "feed": f"{site}/feeds/{secret}.atom"})


@LINKS.call("DELETE", f"{_CLOUD}/<int:link_id>", Who.WRITER, {204: None}, (404,))
def delete_cloud_link(call: Call, cloud_id: int, link_id: int) -> Response:
    """Delete badge and feed: they stop working at once."""
    call.cloud(cloud_id)
    remove_link(call.ledger, call.caller, call.ledger.links.of_cloud(cloud_id), link_id)
    return Response(status=204)


@LINKS.call("GET", "/v1/matrix", Who.TOKEN, {200: page("clouds", "CloudVerdicts")}, takes=Takes(cost=5))
def show_matrix(call: Call) -> Response:
    """Show the latest verdicts of your clouds, by program and guideline; operators see all clouds."""
    found = matrix(call.ledger.links.verdicts(call.scope, MAX_VERDICTS))
    return jsonify(
        {
            "clouds": [
                {
                    "id": row.cloud_id,
                    "label": row.cloud,
                    "verdicts": [_verdict(one) for cell in row.cells for one in cell],
                }
                for row in found.rows
            ]
        }
    )


def _created(made: Link, more: dict[str, Any]) -> Response:
    answer = jsonify({**_link(made), **more})
    answer.status_code = 201
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _link(link: Link) -> dict[str, Any]:
    return {
        "id": link.id,
        "program": link.program,
        "created_by": link.created_by,
        "created_at": iso(link.created_at),
        "expires_at": iso(link.expires_at),
    }


def _verdict(one: CloudVerdict) -> dict[str, Any]:
    return {
        "test_id": one.test_id,
        "program": one.program,
        "guideline": one.guideline,
        "passed": one.passed,
        "count": one.count,
        "total": one.total,
        "at": iso(one.at),
    }
