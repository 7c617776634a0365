"""``/v1/me/tokens``: the caller's own API tokens."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.contract.scopes import READ, VENDOR
from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import token_json
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.services.inputs.schema import (
    EXPIRY,
    choice,
    expiry_field,
    fields,
    name_text,
    seconds_until_expiry,
)
from refstack_worker.server.services.tokens import WantedToken, create_own, own_tokens, revoke_own

OWN_TOKENS = Resource("own tokens", "Your own API tokens.")
_RULE = "/v1/me/tokens"
_NEW = fields(
    "name",
    name=name_text(200, description="What it is for", examples=["CI pipeline"]),
    scope=choice(VENDOR, READ, description="read: it changes nothing"),
    **EXPIRY,
)


@OWN_TOKENS.call("GET", _RULE, Who.TOKEN, {200: page("tokens", "Token")})
def list_own_tokens(call: Call) -> Response:
    """List your own API tokens, without their secrets. Operators see all."""
    now = call.ledger.clock()
    tokens = [{**token_json(token), "state": _state(token, now)} for token in own_tokens(call.ledger, call.caller)]
    return jsonify({"tokens": tokens})


@OWN_TOKENS.call(
    "POST",
    _RULE,
    Who.WRITER,
    {201: reference("Token")},
    (409, 413),
    Takes(_NEW, "NewOwnToken", {"name": "CI pipeline", "scope": "read", "days": 90}),
)
def create_own_token(call: Call) -> Response:
    """Create an API token of your own. Its secret is shown only in this answer.

    It is revoked with the token that creates it, and expires no later.
    """
    scope, user_id = call.body.get("scope", VENDOR), call.caller.token.user_id
    seconds, field = seconds_until_expiry(call.body), expiry_field(call.body)
    wanted = WantedToken(call.body["name"], scope, user_id, seconds, field)
    token, secret = create_own(call.ledger, call.caller, wanted)
    answer = jsonify({**token_json(token), "token": secret})
    answer.status_code = 201
    answer.headers["Cache-Control"] = "no-store"
    return answer


@OWN_TOKENS.call("DELETE", f"{_RULE}/<int:token_id>", Who.WRITER, {204: None}, (404,))
def revoke_own_token(call: Call, token_id: int) -> Response:
    """Permanently revoke one of your API tokens."""
    revoke_own(call.ledger, call.caller, token_id)
    return Response(status=204)


def _state(token: Token, now: float) -> str:
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at and token.expires_at <= now else "good"
