"""``/v1/clouds``: what runs are made against."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import CLOUD, page
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import cloud_json, iso
from refstack_worker.server.services.inputs.cloud_input import CHECK, NEW_CLOUD, conf_of
from refstack_worker.server.services.inputs.schema import choice

CLOUDS = Resource("clouds", "Add clouds and test the connection to them.")
_ONE = "/v1/clouds/<int:cloud_id>"
_TAKES = Takes(
    NEW_CLOUD,
    "NewCloud",
    {"label": "Example", "endpoint_v3": "https://cloud.example:5000/v3", "test_user": "demo", "region": "RegionOne"},
)


@CLOUDS.call("GET", "/v1/clouds", Who.TOKEN, {200: page("clouds", "Cloud")})
def list_clouds(call: Call) -> Response:
    """List the clouds that the caller can see."""
    return jsonify({"clouds": [cloud_json(known) for known in call.context.clouds.visible(call.caller)]})


@CLOUDS.call("POST", "/v1/clouds", Who.WRITER, {201: CLOUD}, (404, 409, 413), _TAKES)
def add_cloud(call: Call) -> Response:
    """Add a cloud to test later."""
    known = call.context.clouds.add(call.caller, call.body)
    answer = jsonify(cloud_json(known))
    answer.status_code = 201
    answer.headers["Location"] = f"/v1/clouds/{known.cloud.id}"
    return answer


@CLOUDS.call("GET", _ONE, Who.TOKEN, {200: CLOUD}, (404,))
def show_cloud(call: Call, cloud_id: int) -> Response:
    """Show a cloud and its last check."""
    return jsonify(cloud_json(call.cloud(cloud_id)))


@CLOUDS.call("PUT", _ONE, Who.WRITER, {200: CLOUD}, (404, 413), _TAKES)
def change_cloud(call: Call, cloud_id: int) -> Response:
    """Change a cloud; stored passwords stay unless new ones are given."""
    return jsonify(cloud_json(call.context.clouds.change(call.caller, cloud_id, call.body)))


@CLOUDS.call(
    "DELETE",
    _ONE,
    Who.WRITER,
    {204: None},
    (404, 409),
    Takes(query={"runs": choice("yes", description="Delete its runs and their results, too")}),
)
def delete_cloud(call: Call, cloud_id: int) -> Response:
    """Delete a cloud.

    While it has runs, this is refused (409), unless they are to be deleted, too. Then they must have ended, and none
    may be pinned.
    """
    call.context.clouds.delete(call.caller, cloud_id, "runs" in call.query)
    return Response(status=204)


@CLOUDS.call(
    "POST",
    f"{_ONE}/check",
    Who.WRITER,
    {200: CLOUD},
    (404, 413),
    Takes(CHECK, "Passwords", {"conf_json": {"identity": {"password": "…"}}}, cost=20),  # noqa: S105 - an example
)
def check_cloud(call: Call, cloud_id: int) -> Response:
    """Test the connection to a cloud.

    Asks Keystone for its version, and with a password for the services in the catalogue. Takes at most 20 seconds.
    """
    return jsonify(cloud_json(call.context.clouds.check(call.caller, cloud_id, conf_of(call.body))))


@CLOUDS.call("GET", f"{_ONE}/history", Who.TOKEN, {200: page("runs", "PastRun")}, (404,))
def list_history(call: Call, cloud_id: int) -> Response:
    """List the latest runs of a cloud that have a result, oldest first."""
    call.cloud(cloud_id)
    rows = call.ledger.clouds.history(cloud_id)
    return jsonify({"runs": [{**row, "ended_at": iso(row["ended_at"])} for row in rows]})
