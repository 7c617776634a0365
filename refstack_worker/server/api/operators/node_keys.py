"""``/v1/node-keys``: keys of single nodes: who has one, tokens to enrol with, revoking."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.config.worker import NODE_NAME
from refstack_worker.contract import keys
from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso, node_key_json
from refstack_worker.server.ledger.node_keys import TOKEN_SECONDS
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import fields

NODE_KEYS = Resource("node keys", "Keys of single worker nodes (operators).")

_MAX_HOURS = 168


@NODE_KEYS.call("GET", "/v1/node-keys", Who.OPERATOR, {200: page("keys", "NodeKey")})
def list_keys(call: Call) -> Response:
    """List the keys that nodes have enrolled, including replaced and revoked ones."""
    return jsonify({"keys": [node_key_json(key) for key in call.ledger.node_keys.all()]})


@NODE_KEYS.call(
    "POST",
    "/v1/nodes/<node>/enrolment",
    Who.OPERATOR,
    {201: reference("EnrolmentToken")},
    (413,),
    Takes(fields(hours={"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_HOURS}), "NewEnrolment", {"hours": 1}),
)
def new_token(call: Call, node: str) -> tuple[Response, int]:
    """Create a token with which this node enrols a key. It works once, for an hour unless `hours` is given."""
    if not NODE_NAME.match(node):
        raise invalid("node", "must consist of letters, digits, '.', '_' and '-', 63 at most")
    seconds = float(call.body.get("hours", TOKEN_SECONDS / 3600)) * 3600
    server_key, _ = keys.load_sign_private(call.context.settings.keys.sign).newest
    made = call.ledger.node_keys.new_token(node, server_key, call.caller.name, seconds)
    return jsonify({"node": made.node, "token": made.text, "expires_at": iso(made.expires_at)}), 201


@NODE_KEYS.call("POST", "/v1/node-keys/<name>/revoke", Who.OPERATOR, {200: page("keys", "NodeKey")}, (404,))
def revoke(call: Call, name: str) -> Response:
    """Revoke all keys of a node, or one by its id. They cannot open runs that are submitted from now on."""
    revoked = call.ledger.node_keys.revoke(name, call.caller.name)
    return jsonify({"keys": [node_key_json(key) for key in revoked]})
