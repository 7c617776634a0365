"""``/v1/tokens``: API tokens, made and revoked by operators."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.contract.scopes import VENDOR
from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import token_json
from refstack_worker.server.services.inputs.schema import (
    EXPIRY,
    ID,
    SCOPE,
    array,
    expiry_field,
    fields,
    maybe,
    name_text,
    seconds_until_expiry,
)
from refstack_worker.server.services.tokens import expiry_of_new

TOKENS = Resource("tokens", "API tokens (operators).")
_NEW = fields(
    "name",
    name=name_text(200, description="What it is for", examples=["CI pipeline"]),
    scopes=array(SCOPE, minItems=1),
    user_id=maybe({**ID, "description": "Owner; null: an operator's token"}),
    **EXPIRY,
)


@TOKENS.call("GET", "/v1/tokens", Who.OPERATOR, {200: page("tokens", "Token")})
def list_tokens(call: Call) -> Response:
    """List API tokens without their secrets."""
    return jsonify({"tokens": [token_json(token) for token in call.ledger.tokens.all()]})


@TOKENS.call(
    "POST",
    "/v1/tokens",
    Who.OPERATOR,
    {201: reference("Token")},
    (404, 409, 413),
    Takes(_NEW, "NewToken", {"name": "CI pipeline", "scopes": ["vendor"], "user_id": 5, "days": 90}),
)
def create_token(call: Call) -> Response:
    """Create an API token. Its secret is shown only in this answer.

    It is revoked with the token that creates it, and expires no later.
    """
    body, ledger = call.body, call.ledger
    expires_at = expiry_of_new(ledger, call.caller, seconds_until_expiry(body), expiry_field(body))
    scopes, parent = body.get("scopes", [VENDOR]), call.caller.token.id
    token, secret = ledger.tokens.add(body["name"], scopes, body.get("user_id"), expires_at, parent)
    answer = jsonify({**token_json(token), "token": secret})
    answer.status_code = 201
    answer.headers["Cache-Control"] = "no-store"
    return answer


@TOKENS.call("DELETE", "/v1/tokens/<int:token_id>/record", Who.OPERATOR, {204: None}, (404, 409))
def remove_token(call: Call, token_id: int) -> Response:
    """Remove a revoked or expired token from the list. The audit log keeps its name."""
    call.ledger.tokens.remove(token_id)
    return Response(status=204)


@TOKENS.call("DELETE", "/v1/tokens/<int:token_id>", Who.OPERATOR, {204: None}, (404,))
def revoke_token(call: Call, token_id: int) -> Response:
    """Permanently revoke an API token."""
    call.ledger.tokens.revoke(token_id)
    return Response(status=204)
