"""Signing in and out: a browser shows an API token and gets a session of its own; it does not keep the token."""

from __future__ import annotations

import math

from flask import Response, g, make_response, redirect, render_template, request

from refstack_worker.contract.scopes import SCOPES
from refstack_worker.errors import RefstackError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.guard import count_wrong
from refstack_worker.server.serving.responses import limit
from refstack_worker.server.web.pages import (
    MAX_SIGN_IN,
    WEB,
    Answer,
    caller,
    count_call,
    is_from_here,
    local_path,
    page,
    page_of,
    show_kept,
)
from refstack_worker.server.web.session_keys import COOKIE, form_key

_KEPT = "kept:"


@page("GET", "/")
def home() -> Answer:
    return redirect("/runs")


@WEB.get("/sign-in")
def show_sign_in() -> Answer:
    after = local_path(request.args.get("next", ""))
    if _is_signed_in():
        return redirect(after or "/runs")
    return sign_in_page(after, "")


@WEB.post("/sign-in")
def sign_in() -> Answer:
    """Begin a session for a valid token."""
    limit(MAX_SIGN_IN)
    if request.mimetype != "application/x-www-form-urlencoded":
        raise refused("scope", "The form could not be read.")
    if not is_from_here():
        # otherwise another site could sign a vendor in with a foreign token, whose owner then reads what is entered
        raise refused("scope", "The form is from another site. Open this page itself and sign in there.")
    after = local_path(request.form.get("next", ""))
    token = context().ledger.tokens.find(request.form.get("token", "").strip())
    if token is None or not set(token.scopes) & set(SCOPES):
        return _refused(after)
    count_call(token)
    g.actor = token
    secret = context().ledger.sessions.add(token)
    return _with_cookie(make_response(_go_on(token, secret, after)), secret)


def signed_in(token: Token, answer: Response) -> Response:
    """Return an answer with which a browser's session begins. :param token: whose session it is."""
    return _with_cookie(answer, context().ledger.sessions.add(token))


def _with_cookie(answer: Response, secret: str) -> Response:
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=int(context().settings.web.session_hours * 3600),
        httponly=True,
        # Lax, so that a link to a run in a mail works; forms have their own protection
        samesite="Lax",
        secure=context().settings.web.address.startswith("https:"),
    )
    return answer


@page("POST", "/sign-out", is_form=False)
def sign_out() -> Answer:
    context().ledger.sessions.end(request.cookies.get(COOKIE, ""))
    if caller().token.is_session:
        context().ledger.tokens.revoke(caller().token.id)
    answer = redirect("/sign-in")
    answer.delete_cookie(COOKIE)
    return answer


def _is_signed_in() -> bool:
    secret = request.cookies.get(COOKIE, "")
    return bool(secret) and context().ledger.sessions.find(secret) is not None


def _refused(after: str) -> Answer:
    seconds = count_wrong(context())
    if seconds:
        return sign_in_page(after, f"Too many attempts from your address. Wait {math.ceil(seconds)} seconds.", 429)
    return sign_in_page(after, "This token isn't valid, or has expired or been revoked.", 401)


def sign_in_page(after: str, wrong: str, status: int = 200) -> Response:
    """Return the page where people sign in. :param wrong: what did not work."""
    provider = context().settings.sign_in
    values = {"after": after, "wrong": wrong, "kept": _kept(), "provider": provider.name if provider.is_on else ""}
    return make_response(render_template("sign_in.html", caller=None, **values), status)


def _go_on(token: Token, secret: str, after: str) -> Answer:
    """Return the form that the end of a session interrupted, with what was typed; else lead to the page asked for."""
    kept = _kept()
    if kept and is_from_here():
        g.caller, g.form_key = Caller(token), form_key(secret)
        try:
            again = show_kept(after, kept)
        except RefstackError:
            # such as a form that another user began; its page says why, after the session has begun
            again = None
        if again is not None:
            return again
    return redirect(page_of(after) if after else "/runs")


def _kept() -> dict[str, str]:
    fields = request.form.items() if request.method == "POST" else ()
    return {name[len(_KEPT) :]: value for name, value in fields if name.startswith(_KEPT)}
