"""Stands before every request: how often a caller may call, and who presents wrong tokens too often.

A valid token is never refused because of wrong ones from the same address: the token is looked up first.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, g, request

from refstack_worker.contract.messages import clean_line
from refstack_worker.errors import RefstackError
from refstack_worker.server import auth
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.audit import MAX_ACTOR, AuditEntry
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.serving.context import HttpContext
from refstack_worker.server.serving.rate_limit import Allowance
from refstack_worker.server.serving.responses import MAX_BODY, MAX_CALL_BODY, failure, problem

LOG = logging.getLogger(__name__)

BODY_OF_A_CALL = 8192
"""Bytes of a body that count as one more call."""
AUDITED = (
    "name", "label", "vendor", "vendor_id", "to_user_id", "user_id", "disabled", "max_open_runs", "action", "reason",
    "cloud_id", "only", "priority", "pinned", "paused", "runs",
)  # fmt: skip
"""Fields of requests that the audit log shows, to tell changes apart."""
MAX_DETAIL = 60
"""Characters of each."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_FREE = ("/worker/", "/health", "/static/", "/get-", "/post-result", "/update-test-status")
"""Calls of workers, which prove an attempt and have no API token; and what costs nothing."""


class Guard:
    """Counts calls by token, and wrong tokens by address; keeps the audit log."""

    def __init__(self, context: HttpContext) -> None:
        self._context = context

    def register(self, app: Flask) -> None:
        """Stand before the calls of an application."""
        app.before_request(self._before)
        app.after_request(self._after)

    def _before(self) -> Response | None:
        if request.path.startswith(_FREE) or not auth.bearer(request):
            return None
        token = auth.known_token(request, self._context.ledger)
        if token is None:
            seconds = count_wrong(self._context)
            return _too_many(seconds, "Too many wrong tokens from this address.") if seconds else None
        g.allowance = allowance = self._context.limits.calls.take(token.account, 1 + cost_of_body())
        if allowance is not None and allowance.wait:
            return _too_many(allowance.wait, "This token has made too many calls.")
        return None

    def _record(self, answer: Response) -> None:
        actor: Token | None = g.get("actor")
        if actor is None or request.method in _SAFE or answer.status_code >= 400 or g.get("is_audited"):
            return
        try:
            self._context.ledger.audit.record(audit_entry(self._context, actor))
        except RefstackError as error:
            LOG.error("audit: %s %s by %s was not recorded: %s", _action(), request.path, actor.name, error)

    def _after(self, answer: Response) -> Response:
        self._record(answer)
        allowance: Allowance | None = g.get("allowance")
        if allowance is not None:
            answer.headers.extend(allowance.headers)
        return answer


def audit_entry(context: HttpContext, actor: Token) -> AuditEntry:
    """Return what the audit log says of the present request. :raises RefstackError: the ledger cannot be asked."""
    target = f"{request.path}{_details()}"
    return AuditEntry(_named(context, actor), actor.id, address_of(context), _action(), target)


def _action() -> str:
    return (request.endpoint or "").rpartition(".")[2].removesuffix("_post").replace("_", " ")


def _named(context: HttpContext, token: Token) -> str:
    """Return the name of a token, which its user chose, and whose it is, which operators decided."""
    if token.user_id is None or token.is_session:
        return token.name
    user = context.ledger.accounts.user(token.user_id)
    owner = f" (user {user.id}: {(user.name or user.email)[:80]})"
    return f"{token.name[: MAX_ACTOR - len(owner)]}{owner}"


def _details() -> str:
    """Return what the request asked for, of the fields that tell one change from another; none of them is secret."""
    given: Mapping[str, Any] = g.get("asked") or request.form
    values = {name: given.get(name) for name in AUDITED}
    shown = [
        f"{name}: {clean_line(str(value)[:MAX_DETAIL])}" for name, value in values.items() if value not in (None, "")
    ]
    return f" ({', '.join(shown)})" if shown else ""


def address_of(context: HttpContext) -> str:
    """Return the address that the present request comes from."""
    return str(auth.client_address(request, context.settings.web.trusted_proxies) or "unknown")


def cost_of_body() -> int:
    """Return as how many further calls the body of this request counts: to read a large one takes as long."""
    size = request.content_length
    if size is None:
        size = MAX_BODY if "chunked" in request.headers.get("Transfer-Encoding", "").lower() else 0
    # larger ones are refused unread
    return size // BODY_OF_A_CALL if size <= MAX_CALL_BODY else 0


def count_more(context: HttpContext, token: Token, cost: int) -> None:
    """Count a call that costs much as several. :raises RefusedError: reason ``busy``: too many calls."""
    g.allowance = allowance = context.limits.calls.take(token.account, cost)
    if allowance is not None and allowance.wait:
        raise refused("busy", f"This token has made too many calls. Wait {math.ceil(allowance.wait)} s.")


def count_wrong(context: HttpContext) -> float:
    """Count a wrong token; return the seconds until its address may try again."""
    address = auth.client_address(request, context.settings.web.trusted_proxies)
    allowance = context.limits.wrong.take(auth.network_of(address))
    return allowance.wait if allowance else 0.0


def _too_many(seconds: float, why: str) -> Response:
    wait = math.ceil(seconds)
    detail = f"{why} Wait {wait} s."
    is_api = request.path.startswith("/v1/")
    answer = problem(429, detail, "too-many-requests") if is_api else failure(429, detail, "too-many-requests")
    answer.headers["Retry-After"] = str(wait)
    return answer
