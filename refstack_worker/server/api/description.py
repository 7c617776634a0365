"""``/v1/openapi.json`` and ``/v1/problems/…``: what describes the API itself; needs no token."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.errors import NotFoundError
from refstack_worker.server.api import pins
from refstack_worker.server.api.clouds import CLOUDS
from refstack_worker.server.api.guidelines import GUIDELINES
from refstack_worker.server.api.imports import IMPORTS
from refstack_worker.server.api.notifications import NOTIFICATIONS
from refstack_worker.server.api.operators import account_changes
from refstack_worker.server.api.operators.accounts import ACCOUNTS
from refstack_worker.server.api.operators.audit import AUDIT
from refstack_worker.server.api.operators.node_keys import NODE_KEYS
from refstack_worker.server.api.operators.nodes import NODES
from refstack_worker.server.api.operators.notices import NOTICES
from refstack_worker.server.api.operators.tokens import TOKENS
from refstack_worker.server.api.own_tokens import OWN_TOKENS
from refstack_worker.server.api.results import RESULTS
from refstack_worker.server.api.routing import Call, Resource, Who
from refstack_worker.server.api.runs import RUNS
from refstack_worker.server.api.schedules import SCHEDULES
from refstack_worker.server.api.shared_links import LINKS
from refstack_worker.server.api.shares import SHARES
from refstack_worker.server.api.upload_keys import UPLOAD_KEYS
from refstack_worker.server.services.about import versions
from refstack_worker.server.services.inputs.schema import OBJECT, integer, shape, string
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import STATUSES, TITLES

MORE_CALLS = (account_changes, pins)
"""Modules that add calls to a resource of another module when they are imported."""
DESCRIPTION = Resource("description", "The API itself.")
RESOURCES = (
    RUNS,
    IMPORTS,
    RESULTS,
    SHARES,
    LINKS,
    CLOUDS,
    GUIDELINES,
    UPLOAD_KEYS,
    SCHEDULES,
    NOTIFICATIONS,
    OWN_TOKENS,
    ACCOUNTS,
    TOKENS,
    NODES,
    NODE_KEYS,
    NOTICES,
    AUDIT,
    DESCRIPTION,
)


@DESCRIPTION.call("GET", "/v1/openapi.json", Who.ANYONE, {200: OBJECT})
def show_openapi() -> Response:
    """Show this description (OpenAPI 3.1)."""
    return jsonify(context().openapi())


@DESCRIPTION.call("GET", "/v1/about", Who.TOKEN, {200: shape(software=string(), database=OBJECT)})
def show_versions(call: Call) -> Response:
    """Show the versions of this server; to operators also of Python, libraries and nodes."""
    return jsonify(versions(call.ledger, call.caller))


@DESCRIPTION.call(
    "GET", "/v1/problems/<reason>", Who.ANYONE, {200: shape(reason=string(), status=integer(), title=string())}, (404,)
)
def show_problem(reason: str) -> Response:
    """Explain a type of problem in words."""
    status = STATUSES.get(reason)
    if status is None:
        raise NotFoundError(f"no such problem: {reason[:40]!r}")
    return jsonify({"reason": reason, "status": status, "title": TITLES[status]})
