"""The pages of one vendor and of one user, for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import make_response, redirect, request

from refstack_worker.errors import NotFoundError, StateError, UsageError
from refstack_worker.server.services.accounts import CHANGED_USER, CHANGED_VENDOR, AccountService
from refstack_worker.server.services.inputs.checks import FieldError, check
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import number
from refstack_worker.server.web.forms import errors_of, number_or_text
from refstack_worker.server.web.pages import Answer, caller, form, page, show, typed

_VENDOR, _USER = "/vendors/<int:vendor_id>", "/users/<int:user_id>"


@page("GET", _VENDOR)
def show_vendor(vendor_id: int) -> Answer:
    return _vendor_page(vendor_id)


@form(_VENDOR)
def show_vendor_form(kept: Mapping[str, str], errors: tuple[FieldError, ...], vendor_id: int) -> Answer:
    """Show the form with what was typed."""
    return _vendor_page(vendor_id, kept, errors)


@page("POST", _VENDOR)
def change_vendor(vendor_id: int) -> Answer:
    caller().need_operator()
    given = request.form
    limit = given.get("max_open_runs", "").strip()
    body: dict[str, Any] = {name: given.get(name, "").strip() for name in ("name", "contact_name", "contact_email")}
    body["max_open_runs"] = number_or_text(limit) if limit else None
    try:
        check(CHANGED_VENDOR, body)
        _service().change_vendor(caller(), vendor_id, body)
    except (UsageError, StateError) as error:
        return make_response(_vendor_page(vendor_id, typed(), errors_of(error, {})), 400)
    return redirect(f"/vendors/{vendor_id}", 303)


@page("POST", f"{_VENDOR}/disable")
def disable_vendor(vendor_id: int) -> Answer:
    """Disable or enable a vendor."""
    caller().need_operator()
    _service().change_vendor(caller(), vendor_id, {"disabled": request.form.get("disabled") == "yes"})
    return redirect(f"/vendors/{vendor_id}", 303)


@page("POST", f"{_VENDOR}/remove")
def remove_vendor(vendor_id: int) -> Answer:
    caller().need_operator()
    context().ledger.account_changes.remove_vendor(vendor_id)
    return redirect("/vendors", 303)


@page("GET", _USER)
def show_user(user_id: int) -> Answer:
    return _user_page(user_id)


@form(_USER)
def show_user_form(kept: Mapping[str, str], errors: tuple[FieldError, ...], user_id: int) -> Answer:
    """Show the form with what was typed."""
    return _user_page(user_id, kept, errors)


@page("POST", _USER)
def change_user(user_id: int) -> Answer:
    caller().need_operator()
    body: dict[str, Any] = {name: request.form.get(name, "").strip() for name in ("name", "email")}
    vendor = request.form.get("vendor_id", "")
    body["vendor_id"] = number_or_text(vendor) if vendor else None
    try:
        check(CHANGED_USER, body)
        _service().change_user(caller(), user_id, body)
    except (UsageError, StateError, NotFoundError) as error:
        return make_response(_user_page(user_id, typed(), errors_of(error, {})), 400)
    return redirect(f"/users/{user_id}", 303)


@page("POST", f"{_USER}/disable")
def disable_user(user_id: int) -> Answer:
    """Disable or enable a user."""
    caller().need_operator()
    _service().change_user(caller(), user_id, {"disabled": request.form.get("disabled") == "yes"})
    return redirect(f"/users/{user_id}", 303)


@page("POST", f"{_USER}/transfer")
def transfer_user(user_id: int) -> Answer:
    """Hand over what a user has."""
    caller().need_operator()
    _service().transfer(user_id, number(request.form.get("to_user_id", ""), "to_user_id", 1, MAX_ID))
    return redirect(f"/users/{user_id}", 303)


@page("POST", f"{_USER}/remove")
def remove_user(user_id: int) -> Answer:
    caller().need_operator()
    _service().remove_user(caller(), user_id)
    return redirect("/vendors", 303)


def _service() -> AccountService:
    return AccountService(context().ledger)


def _vendor_page(vendor_id: int, kept: Mapping[str, str] | None = None, errors: tuple[FieldError, ...] = ()) -> str:
    caller().need_operator()
    states, vendor = _service().states(), _service().vendor(vendor_id)
    limit = states.limits.get(vendor_id)
    values = {"name": vendor.name, "contact_name": vendor.contact_name, "contact_email": vendor.contact_email}
    return show(
        "vendor.html",
        vendor=vendor,
        users=[user for user in context().ledger.accounts.users() if user.vendor_id == vendor_id],
        states=states,
        server_limit=context().settings.rules.max_open_runs,
        form=kept if kept is not None else {**values, "max_open_runs": "" if limit is None else str(limit)},
        errors={one.field: one.message for one in errors},
    )


def _user_page(user_id: int, kept: Mapping[str, str] | None = None, errors: tuple[FieldError, ...] = ()) -> str:
    caller().need_operator()
    ledger = context().ledger
    user = ledger.accounts.user(user_id)
    values = {"name": user.name, "email": user.email, "vendor_id": str(user.vendor_id or "")}
    return show(
        "user.html",
        user=user,
        vendors=ledger.accounts.vendors(),
        others=[one for one in ledger.accounts.users() if one.id != user_id],
        states=_service().states(),
        tokens=ledger.tokens.of_user(user_id),
        now=ledger.clock(),
        form=kept if kept is not None else values,
        errors={one.field: one.message for one in errors},
    )
