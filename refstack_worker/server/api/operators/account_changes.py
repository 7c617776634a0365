"""``/v1/vendors/N`` and ``/v1/users/N``: what operators change of accounts."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import reference
from refstack_worker.server.api.operators.accounts import ACCOUNTS
from refstack_worker.server.api.routing import Call, Takes, Who
from refstack_worker.server.services.accounts import (
    CHANGED_USER,
    CHANGED_VENDOR,
    AccountService,
    user_json,
    vendor_json,
)
from refstack_worker.server.services.inputs.schema import ID, fields

_VENDOR, _USER = "/v1/vendors/<int:vendor_id>", "/v1/users/<int:user_id>"


@ACCOUNTS.call(
    "PUT",
    _VENDOR,
    Who.OPERATOR,
    {200: reference("Vendor")},
    (404, 409, 413),
    Takes(CHANGED_VENDOR, "ChangedVendor", {"contact_email": "desk@cloud.example", "max_open_runs": 20}),
)
def change_vendor(call: Call, vendor_id: int) -> Response:
    """Change, disable or enable a vendor, or set its limit of open runs; what is left out stays.

    The tokens and browser sessions of a disabled vendor's users are refused, and its schedules and notifications are
    paused. Open runs continue.
    """
    service = AccountService(call.ledger)
    return jsonify(vendor_json(service.change_vendor(call.caller, vendor_id, call.body), service.states()))


@ACCOUNTS.call("DELETE", _VENDOR, Who.OPERATOR, {204: None}, (404, 409))
def remove_vendor(call: Call, vendor_id: int) -> Response:
    """Remove a vendor that has no users."""
    call.ledger.account_changes.remove_vendor(vendor_id)
    return Response(status=204)


@ACCOUNTS.call(
    "PUT",
    _USER,
    Who.OPERATOR,
    {200: reference("User")},
    (404, 409, 413),
    Takes(CHANGED_USER, "ChangedUser", {"vendor_id": 3, "disabled": False}),
)
def change_user(call: Call, user_id: int) -> Response:
    """Change, disable or enable a user, or move the user to another vendor; what is left out stays."""
    service = AccountService(call.ledger)
    return jsonify(user_json(service.change_user(call.caller, user_id, call.body), service.states()))


@ACCOUNTS.call(
    "POST",
    f"{_USER}/transfer",
    Who.OPERATOR,
    {200: reference("User")},
    (404, 413),
    Takes(fields("to_user_id", to_user_id=ID), "Transfer", {"to_user_id": 7}),
)
def transfer_user(call: Call, user_id: int) -> Response:
    """Transfer a user's runs, clouds, guidelines, schedules and notifications to another user."""
    service, to_user = AccountService(call.ledger), call.body["to_user_id"]
    service.transfer(user_id, to_user)
    return jsonify(user_json(call.ledger.accounts.user(to_user), service.states()))


@ACCOUNTS.call("DELETE", _USER, Who.OPERATOR, {204: None}, (404, 409))
def remove_user(call: Call, user_id: int) -> Response:
    """Remove a user and their tokens. Transfer what the user owns first."""
    AccountService(call.ledger).remove_user(call.caller, user_id)
    return Response(status=204)
