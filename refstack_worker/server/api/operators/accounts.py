"""``/v1/me``, ``/v1/vendors``, ``/v1/users``: who there is."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from refstack_worker.errors import StateError
from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.domain.accounts import User
from refstack_worker.server.services.accounts import AccountService, user_json, vendor_json
from refstack_worker.server.services.inputs.schema import (
    ID,
    TIME,
    fields,
    mail_text,
    maybe,
    name_text,
    shape,
    string,
)

ACCOUNTS = Resource("accounts", "The token's owner; vendors and their users (operators).")
NEW_VENDOR = fields("name", name=name_text(80), contact_name=string(120), contact_email=mail_text(120))
NEW_USER = fields("name", name=name_text(60), email=mail_text(200), vendor_id=maybe(ID))


@ACCOUNTS.call("GET", "/v1/me", Who.TOKEN, {200: reference("Me")})
def show_me(call: Call) -> Response:
    """Show the owner and scope of the token."""
    token = call.caller.token
    user = call.ledger.accounts.user(token.user_id) if token.user_id is not None else None
    return jsonify({"token": token.name, "scopes": list(token.scopes), "user": _own(call, user) if user else None})


def _own(call: Call, user: User) -> dict[str, Any]:
    return user_json(user, AccountService(call.ledger).states())


@ACCOUNTS.call("GET", "/v1/vendors", Who.OPERATOR, {200: page("vendors", "Vendor")})
def list_vendors(call: Call) -> Response:
    """List the vendors (for operators)."""
    states = AccountService(call.ledger).states()
    return jsonify({"vendors": [vendor_json(vendor, states) for vendor in call.ledger.accounts.vendors()]})


@ACCOUNTS.call(
    "POST",
    "/v1/vendors",
    Who.OPERATOR,
    {201: reference("Vendor")},
    (409, 413),
    Takes(NEW_VENDOR, "NewVendor", {"name": "Example Cloud", "contact_email": "interop@cloud.example"}),
)
def add_vendor(call: Call) -> Response:
    """Add a vendor (for operators)."""
    states = AccountService(call.ledger).states()
    answer = jsonify(vendor_json(call.ledger.accounts.add_vendor(**call.body), states))
    answer.status_code = 201
    return answer


@ACCOUNTS.call("GET", "/v1/users", Who.OPERATOR, {200: page("users", "User")})
def list_users(call: Call) -> Response:
    """List the users (for operators)."""
    states = AccountService(call.ledger).states()
    return jsonify({"users": [user_json(user, states) for user in call.ledger.accounts.users()]})


@ACCOUNTS.call(
    "POST",
    "/v1/users",
    Who.OPERATOR,
    {201: reference("User")},
    (404, 409, 413),
    Takes(NEW_USER, "NewUser", {"name": "Ann", "email": "ann@cloud.example", "vendor_id": 2}),
)
def add_user(call: Call) -> Response:
    """Add a user of a vendor."""
    body = call.body
    user = call.ledger.accounts.add_user(body["name"], body.get("email", ""), body.get("vendor_id"))
    answer = jsonify(user_json(user, AccountService(call.ledger).states()))
    answer.status_code = 201
    return answer


@ACCOUNTS.call(
    "POST",
    "/v1/users/<int:user_id>/invitations",
    Who.OPERATOR,
    {201: shape(url=string(description="Give it to the user; it works once"), expires_at=TIME)},
    (404, 409),
)
def invite_user(call: Call, user_id: int) -> Response:
    """Invite a user to sign in by OpenID Connect.

    The person who opens the URL and signs in at the provider is that user from then on.
    """
    settings = call.context.settings
    if not settings.sign_in.is_on:
        raise StateError("Sign-in by OpenID Connect is not set up on this server (OIDC_ISSUER).")
    made = call.ledger.identities.invite(user_id)
    answer = jsonify({"url": f"{settings.web.address}/invitations/{made.secret}", "expires_at": iso(made.expires_at)})
    answer.status_code = 201
    answer.headers["Cache-Control"] = "no-store"
    return answer


@ACCOUNTS.call("DELETE", "/v1/users/<int:user_id>/identities", Who.OPERATOR, {204: None}, (404,))
def forget_identities(call: Call, user_id: int) -> Response:
    """Forget who a user is at the provider: the next sign-in needs a new invitation, or the verified e-mail address."""
    call.ledger.accounts.user(user_id)
    call.ledger.identities.forget(user_id)
    return Response(status=204)
