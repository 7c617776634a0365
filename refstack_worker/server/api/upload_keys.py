"""``/v1/me/upload-key``: the key under which one's results are uploaded to RefStack."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.contract import upload_key
from refstack_worker.errors import KeyFileError, NotFoundError, StateError
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.domain.uploads import StoredKey
from refstack_worker.server.results import confined
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import fields, shape, string
from refstack_worker.server.services.turns import Turns

TURNS = Turns(2, 1, "Another key of yours is being checked. Try again in a moment.")
UPLOAD_KEYS = Resource("upload key", "The key under which your results are uploaded to RefStack.")
_RULE = "/v1/me/upload-key"
_SHOWN = shape(public=string(), openid=string())
_NEW = fields(
    "private_key",
    private_key={"type": "string", "minLength": 1, "maxLength": upload_key.MAX_BYTES},
    openid=string(200, description="Your OpenID at RefStack; needed to set guideline and target there"),
)


@UPLOAD_KEYS.call("GET", _RULE, Who.TOKEN, {200: _SHOWN}, (404, 409))
def show_upload_key(call: Call) -> Response:
    """Show the public half of your upload key."""
    key = call.ledger.uploads.key(_user(call))
    if key is None:
        raise NotFoundError("you have no upload key here; store one ('refstack-queue key set FILE')")
    return jsonify({"public": key.public, "openid": key.openid})


@UPLOAD_KEYS.call(
    "PUT", _RULE, Who.WRITER, {200: _SHOWN}, (409, 413), Takes(_NEW, "NewUploadKey", {"private_key": "…"}, cost=60)
)
def set_upload_key(call: Call) -> Response:
    """Store your upload key, encrypted: RSA of 2048 bits or more, PEM or OpenSSH, without a passphrase."""
    try:
        with TURNS.turn(call.caller.token.account):
            key = confined.upload_key(call.body["private_key"])
    except KeyFileError as error:
        raise invalid("private_key", str(error)) from None
    stored = StoredKey(key.pem, key.public, call.body.get("openid", ""))
    call.ledger.uploads.set_key(_user(call), stored)
    return jsonify({"public": stored.public, "openid": stored.openid})


@UPLOAD_KEYS.call("DELETE", _RULE, Who.WRITER, {204: None}, (409,))
def delete_upload_key(call: Call) -> Response:
    """Delete your own stored upload key."""
    call.ledger.uploads.delete_key(_user(call))
    return Response(status=204)


def _user(call: Call) -> int:
    user_id = call.caller.token.user_id
    if user_id is None:
        raise StateError("this token belongs to no user; the operator's key is UPLOAD_KEY_FILE")
    return user_id
