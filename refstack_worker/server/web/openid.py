"""Signing in by OpenID Connect: to the provider, back from it, and with an invitation."""

from __future__ import annotations

from dataclasses import asdict

from flask import current_app, g, make_response, redirect, request

from refstack_worker.errors import NotFoundError, RefstackError, SealError
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services.openid import Flow, Provider
from refstack_worker.server.services.sign_in import token_of
from refstack_worker.server.services.turns import Turns
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.guard import address_of, count_wrong
from refstack_worker.server.web.pages import WEB, Answer, local_path
from refstack_worker.server.web.sessions import sign_in_page, signed_in

COOKIE = "refstack_sign_in"
FLOW_SECONDS = 600
"""For which a sign-in may be under way."""
CALLBACK = "/sign-in/callback"
_PROVIDER = "refstack-openid"
TURNS = Turns(6, 2, "Too many sign-ins are under way. Try again in a moment.")
"""Sign-ins begin without an account, and each may wait for the provider."""


@WEB.get("/sign-in/openid")
def begin_sign_in() -> Answer:
    """Lead the browser to the provider."""
    return _begin(Flow.begin(local_path(request.args.get("next", ""))))


@WEB.get("/invitations/<secret>")
def accept_invitation(secret: str) -> Answer:
    """Begin the first sign-in of a user whom an operator invited."""
    if context().ledger.identities.invited(secret) is None:
        count_wrong(context())
        raise NotFoundError(
            "This invitation is unknown, already used, or expired. Ask your RefStack operator for another."
        )
    return _begin(Flow.begin("/runs", secret))


@WEB.get(CALLBACK)
def finish_sign_in() -> Answer:
    """Begin a session for a user who comes back from the provider."""
    try:
        flow = _flow()
        if request.args.get("error"):
            raise refused("sign-in", f"The provider rejected the sign-in: {request.args['error'][:80]}.")
        with TURNS.turn(address_of(context())):
            identity = _provider().identity(flow, request.args.get("state", ""), request.args.get("code", ""))
        token = token_of(context().ledger, identity, flow.invitation)
    except RefstackError as error:
        if error.reason != "sign-in":
            raise
        count_wrong(context())
        answer = sign_in_page("", str(error), 403)
        answer.delete_cookie(COOKIE, path="/sign-in")
        return answer
    g.actor = token
    answer = signed_in(token, make_response(redirect(flow.after or "/runs", 303)))
    answer.delete_cookie(COOKIE, path="/sign-in")
    return answer


def _begin(flow: Flow) -> Answer:
    with TURNS.turn(address_of(context())):
        url = _provider().authorization_url(flow)
    sealed = context().ledger.identities.secrets.seal({"flow": {**asdict(flow), "at": context().ledger.clock()}})
    answer = make_response(redirect(url, 303))
    answer.set_cookie(
        COOKIE,
        sealed,
        max_age=FLOW_SECONDS,
        path="/sign-in",
        httponly=True,
        # Lax: the provider leads back with a GET from another site
        samesite="Lax",
        secure=context().settings.web.address.startswith("https:"),
    )
    return answer


def _flow() -> Flow:
    """Return the sign-in that this browser has under way."""
    try:
        values = context().ledger.identities.secrets.open(request.cookies.get(COOKIE, "")).get("flow")
    except (SealError, UnicodeEncodeError):
        values = None
    if values is None or context().ledger.clock() - values.pop("at") > FLOW_SECONDS:
        raise refused("sign-in", "No sign-in is under way in this browser, or it took too long. Try again.")
    return Flow(**values)


def _provider() -> Provider:
    settings = context().settings.sign_in
    if not settings.is_on:
        raise NotFoundError("Sign-in by OpenID Connect is not set up on this server.")
    found = current_app.extensions.get(_PROVIDER)
    if found is None:
        # several threads may make one at once; any of them will do
        found = current_app.extensions[_PROVIDER] = Provider(settings, f"{context().settings.web.address}{CALLBACK}")
    provider: Provider = found
    return provider
