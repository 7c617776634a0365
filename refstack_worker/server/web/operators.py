"""What only operators see: vendors with their users, and the audit log."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from flask import Response, make_response, redirect, request

from refstack_worker.contract.spreadsheets import harmless
from refstack_worker.errors import NotFoundError, StateError, UsageError
from refstack_worker.server.services.inputs.checks import FieldError, check
from refstack_worker.server.services.inputs.schema import ID, MAX_ID, fields, mail_text, maybe, name_text, string
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import number
from refstack_worker.server.web.forms import errors_of, id_in, stripped
from refstack_worker.server.web.pages import Answer, caller, form, page, show, typed
from refstack_worker.server.web.words import stamp

PAGE_ENTRIES = 100
MAX_EXPORTED = 100_000
_VENDOR = fields(
    "vendor_name",
    vendor_name=name_text(80),
    contact_name=string(120),
    contact_email=mail_text(120),
)
_USER = fields("user_name", user_name=name_text(60), email=mail_text(200), vendor_id=maybe(ID))


@page("GET", "/vendors")
def list_vendors() -> Answer:
    """List vendors with their users."""
    return _page({}, ())


@form("/vendors")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the forms with what was typed."""
    return _page(kept, errors)


@page("POST", "/vendors")
def add_account() -> Answer:
    """Add a vendor or a user."""
    caller().need_operator()
    try:
        _add_vendor(request.form) if request.form.get("kind") == "vendor" else _add_user(request.form)
    except (UsageError, StateError, NotFoundError) as error:
        return make_response(_page(typed(), errors_of(error, {})), 400)
    return redirect("/vendors", 303)


@page("POST", "/vendors/invite")
def invite_user() -> Answer:
    """Show a link with which a user signs in for the first time."""
    caller().need_operator()
    if not context().settings.sign_in.is_on:
        raise StateError("Sign-in by OpenID Connect is not set up on this server.")
    made = context().ledger.identities.invite(number(request.form.get("user_id", ""), "user_id", 1, MAX_ID))
    answer = make_response(_page({}, (), f"{context().settings.web.address}/invitations/{made.secret}"))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@page("GET", "/audit")
def show_audit() -> Answer:
    caller().need_operator()
    before = request.args.get("before", "")
    entries = context().ledger.audit.entries(number(before, "before", 0, MAX_ID) if before else 0, PAGE_ENTRIES + 1)
    more = entries[PAGE_ENTRIES - 1].id if len(entries) > PAGE_ENTRIES else 0
    return show("audit.html", entries=entries[:PAGE_ENTRIES], more=more)


@page("GET", "/audit.csv")
def download_audit() -> Answer:
    """Give the audit log out as CSV."""
    caller().need_operator()
    buffer = io.StringIO()
    out = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    out.writerow(("at", "actor", "token_id", "address", "action", "target"))
    for one in context().ledger.audit.entries(limit=MAX_EXPORTED):
        texts = (harmless(text) for text in (one.address, one.action, one.target))
        out.writerow((stamp(one.at), harmless(one.actor), one.token_id, *texts))
    answer = Response(buffer.getvalue(), mimetype="text/csv")
    answer.headers["Content-Disposition"] = "attachment; filename=audit.csv"
    return answer


def _add_vendor(given: Mapping[str, str]) -> None:
    body = stripped(given, "vendor_name", "contact_name", "contact_email")
    check(_VENDOR, body)
    name = body.pop("vendor_name")
    context().ledger.accounts.add_vendor(name, **body)


def _add_user(given: Mapping[str, str]) -> None:
    body = stripped(given, "user_name", "email")
    body["vendor_id"] = id_in(given.get("vendor_id", ""))
    check(_USER, body)
    context().ledger.accounts.add_user(body["user_name"], body.get("email", ""), body["vendor_id"])


def _page(kept: Mapping[str, str], errors: tuple[FieldError, ...], invitation: str = "") -> str:
    caller().need_operator()
    ledger = context().ledger
    active = ledger.overview.active()
    users = ledger.accounts.users()
    groups = [
        (vendor, [(user, *active.get(user.id, (0, 0.0))) for user in users if user.vendor_id == vendor.id])
        for vendor in ledger.accounts.vendors()
    ]
    alone = [(user, *active.get(user.id, (0, 0.0))) for user in users if user.vendor_id is None]
    shown = {one.field: one.message for one in errors}
    return show(
        "vendors.html",
        states=ledger.account_changes.states(),
        groups=[*groups, *([(None, alone)] if alone else [])],
        form=kept,
        errors=shown,
        invitation=invitation,
        may_invite=context().settings.sign_in.is_on,
    )
