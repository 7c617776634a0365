"""``/v1/announcement``: what operators tell everybody."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.ledger.notices import MAX_TEXT
from refstack_worker.server.services.inputs.schema import TIME, fields, maybe, shape, string

NOTICES = Resource("announcement", "Announcements of the operators to all users.")
_NOTICE = shape(text=string(description="Empty: nothing is announced"), by=maybe(string()), at=TIME)


@NOTICES.call("GET", "/v1/announcement", Who.TOKEN, {200: _NOTICE})
def show_announcement(call: Call) -> Response:
    """Show the operators' announcement, if any."""
    return _shown(call)


@NOTICES.call(
    "PUT",
    "/v1/announcement",
    Who.OPERATOR,
    {200: _NOTICE},
    (413,),
    Takes(fields("text", text=string(MAX_TEXT)), "NewAnnouncement", {"text": "Maintenance on Sunday, 06:00 UTC"}),
)
def announce(call: Call) -> Response:
    """Show a text on every page; an empty text removes it."""
    call.ledger.notices.announce(call.body["text"], call.caller.name)
    return _shown(call)


def _shown(call: Call) -> Response:
    notice = call.ledger.notices.current()
    if notice is None:
        return jsonify({"text": "", "by": None, "at": None})
    return jsonify({"text": notice.text, "by": notice.by, "at": iso(notice.at)})
