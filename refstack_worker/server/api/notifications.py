"""``/v1/notifications``: webhooks and e-mails about runs and nodes."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from refstack_worker.server.api.links import next_page
from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import times
from refstack_worker.server.domain.notifications import Delivery, Subscription
from refstack_worker.server.services.inputs.schema import MAX_ID, integer
from refstack_worker.server.services.notifications import CHANGED_NOTIFICATION, NEW_NOTIFICATION, NotificationService

NOTIFICATIONS = Resource("notifications", "Signed webhooks and e-mails when something happens.")
_ONE = "/v1/notifications/<int:number>"
_NOTIFICATION, _WITH_SECRET = reference("Notification"), reference("NewNotificationSecret")
MAX_LOG = 500


@NOTIFICATIONS.call("GET", "/v1/notifications", Who.TOKEN, {200: page("notifications", "Notification")})
def list_notifications(call: Call) -> Response:
    """List the notifications of your vendor; operators see all."""
    found = NotificationService(call.ledger).visible(call.caller)
    return jsonify({"notifications": [notification_json(one) for one in found]})


@NOTIFICATIONS.call(
    "POST",
    "/v1/notifications",
    Who.WRITER,
    {201: _WITH_SECRET},
    (409, 413),
    Takes(
        NEW_NOTIFICATION,
        "NewNotification",
        {"channel": "webhook", "target": "https://chat.example/hooks/1", "kinds": ["run.not_passed", "run.waiting"]},
        cost=10,
    ),
)
def add_notification(call: Call) -> Response:
    """Add a notification.

    The answer has the secret that signs the messages of a webhook; it is shown only once. Messages have the headers
    webhook-id, webhook-timestamp and webhook-signature (HMAC-SHA256, as standardwebhooks.com describes).
    """
    added = NotificationService(call.ledger).add(call.caller, call.body)
    answer = jsonify({**notification_json(added.subscription), "secret": added.secret or None})
    answer.status_code = 201
    answer.headers["Location"] = f"/v1/notifications/{added.subscription.id}"
    return answer


@NOTIFICATIONS.call("GET", _ONE, Who.TOKEN, {200: _NOTIFICATION}, (404,))
def show_notification(call: Call, number: int) -> Response:
    """Show a notification, without its secret."""
    return jsonify(notification_json(NotificationService(call.ledger).get(call.caller, number)))


@NOTIFICATIONS.call(
    "PUT",
    _ONE,
    Who.WRITER,
    {200: _NOTIFICATION},
    (404, 413),
    Takes(CHANGED_NOTIFICATION, "ChangedNotification", {"paused": True}),
)
def change_notification(call: Call, number: int) -> Response:
    """Change a notification, pause or resume it; what is left out stays."""
    return jsonify(notification_json(NotificationService(call.ledger).change(call.caller, number, call.body)))


@NOTIFICATIONS.call("DELETE", _ONE, Who.WRITER, {204: None}, (404,))
def delete_notification(call: Call, number: int) -> Response:
    """Delete a notification with its log."""
    NotificationService(call.ledger).delete(call.caller, number)
    return Response(status=204)


@NOTIFICATIONS.call("POST", f"{_ONE}/secret", Who.WRITER, {200: _WITH_SECRET}, (404, 409))
def renew_notification_secret(call: Call, number: int) -> Response:
    """Create a new secret for a webhook; the old one stops working."""
    added = NotificationService(call.ledger).renew_secret(call.caller, number)
    return jsonify({**notification_json(added.subscription), "secret": added.secret})


@NOTIFICATIONS.call("POST", f"{_ONE}/test", Who.WRITER, {202: reference("Delivery")}, (404, 409), Takes(cost=10))
def test_notification(call: Call, number: int) -> tuple[Response, int]:
    """Send a test message within seconds. The log shows whether it was accepted."""
    return jsonify(delivery_json(NotificationService(call.ledger).test(call.caller, number))), 202


@NOTIFICATIONS.call(
    "GET",
    f"{_ONE}/deliveries",
    Who.TOKEN,
    {200: page("deliveries", "Delivery", "next_before")},
    (404,),
    Takes(
        query={
            "before": integer(0, MAX_ID, description="Only messages with lower ids: the next page"),
            "limit": integer(1, MAX_LOG),
        }
    ),
)
def list_deliveries(call: Call, number: int) -> Response:
    """List the messages of a notification, newest first: when each was sent, and what the receiver answered."""
    most = call.query.get("limit", 100)
    found = NotificationService(call.ledger).deliveries(call.caller, number, call.query.get("before", 0), most)
    more = found[-1].id if len(found) == most else None
    return next_page({"deliveries": [delivery_json(one) for one in found], "next_before": more}, "before", more)


def notification_json(one: Subscription) -> dict[str, Any]:
    """Return a notification; its secret is not in it."""
    return {
        "id": one.id,
        "channel": one.channel.value,
        "target": one.target,
        "kinds": [kind.value for kind in one.kinds],
        "scope": one.scope.value,
        "owner_id": one.owner_id,
        "label": one.label,
        "created_by": one.created_by,
        "paused": bool(one.paused_at),
        "problem": one.problem,
        **times(one, "created_at", "paused_at"),
    }


def delivery_json(one: Delivery) -> dict[str, Any]:
    """Return a message of the log."""
    return {
        "id": one.id,
        "kind": one.kind.value,
        "test_id": one.test_id,
        "state": state_of(one),
        "tries": one.tries,
        "status": one.status,
        "error": one.error,
        "next_try_at": times(one, "due_at")["due_at"] if one.is_open else None,
        **times(one, "created_at", "ended_at"),
    }


def state_of(one: Delivery) -> str:
    """Return ``waiting``, ``accepted`` or ``given-up``."""
    if one.is_open:
        return "waiting"
    return "given-up" if one.error else "accepted"
