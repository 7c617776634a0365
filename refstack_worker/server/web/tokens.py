"""The page of API tokens: one's own, and for operators everybody's."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import make_response, redirect, request

from refstack_worker.contract.scopes import VENDOR
from refstack_worker.errors import UsageError
from refstack_worker.server.services.inputs.checks import FieldError, check, invalid
from refstack_worker.server.services.inputs.schema import fields, integer, name_text
from refstack_worker.server.services.tokens import WantedToken, create_own, last_expiry, own_tokens, revoke_own
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.forms import errors_of, id_in, number_or_text
from refstack_worker.server.web.pages import Answer, caller, form, page, show, typed

_LIFETIMES = (("30", "In 30 days"), ("90", "In 90 days"), ("365", "In 1 year"))
"""Days, and what the page calls them."""
_SCHEMA = fields("name", name=name_text(200), days=integer(0, 3650))


@dataclass(frozen=True)
class Shown:
    """What the page shows beside the list."""

    form: Mapping[str, str]
    errors: tuple[FieldError, ...] = ()
    secret: str = ""


@page("GET", "/tokens")
def list_tokens() -> Answer:
    """List the tokens that the caller may revoke."""
    return _page(Shown({}))


@form("/tokens")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the form with what was typed."""
    return _page(Shown(kept, errors))


@page("POST", "/tokens")
def create_token() -> Answer:
    """Create a token: a vendor's own has no more rights than the one that signed in."""
    try:
        secret = _create(request.form)
    except UsageError as error:
        return make_response(_page(Shown(typed(), errors_of(error, {}))), 400)
    return _page(Shown({}, secret=secret))


@page("POST", "/tokens/<int:token_id>/remove")
def remove_token(token_id: int) -> Answer:
    """Take a token that has ended out of the list."""
    caller().need_operator()
    context().ledger.tokens.remove(token_id)
    return redirect("/tokens", 303)


@page("POST", "/tokens/<int:token_id>/revoke")
def revoke_token(token_id: int) -> Answer:
    revoke_own(context().ledger, caller(), token_id)
    return redirect("/tokens", 303)


def _create(given: Mapping[str, str]) -> str:
    body: dict[str, Any] = {
        "name": given.get("name", "").strip(),
        "days": number_or_text(given.get("days", "90")),
    }
    check(_SCHEMA, body)
    sent = context().limits.forms.take(given.get("request_key", "")[:60]) if given.get("request_key") else None
    if sent is not None and sent.wait:
        raise invalid("", "This form was already submitted. Its token is in the list.")
    owner = id_in(given.get("user_id", ""))
    wanted = WantedToken(body["name"], given.get("scope", VENDOR), owner, body["days"] * 86400)
    return create_own(context().ledger, caller(), wanted)[1]


def _page(shown: Shown) -> str:
    ledger = context().ledger
    last = last_expiry(caller())
    left = (last - ledger.clock()) / 86400 if last else float("inf")
    lifetimes = [(days, label) for days, label in _LIFETIMES if int(days) <= left]
    users = {user.id: user for user in ledger.accounts.users()} if caller().is_operator else {}
    return show(
        "tokens.html",
        tokens=own_tokens(ledger, caller()),
        secret=shown.secret,
        form=shown.form,
        errors={one.field: one.message for one in shown.errors},
        now=ledger.clock(),
        lifetimes=[*lifetimes, ("0", "With the token you use" if last else "Never")],
        lifetime="90" if left >= 90 else "0",
        request_key=secrets.token_urlsafe(16),
        users=users,
    )
