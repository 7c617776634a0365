"""The pages of clouds: list, add, look at, edit, check, and how their runs went over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import make_response, redirect, request

from refstack_worker.contract.accounts import without_accounts
from refstack_worker.contract.keystone_address import is_same_server
from refstack_worker.contract.option_addresses import elsewhere
from refstack_worker.errors import PayloadError, RefusedError, StateError, UsageError
from refstack_worker.server.domain.clouds import CloudRecord, Conf
from refstack_worker.server.services.inputs.checks import FieldError, check, invalid
from refstack_worker.server.services.inputs.cloud_input import NEW_CLOUD, conf_of
from refstack_worker.server.services.mini_conf import merged
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.chart import plot
from refstack_worker.server.web.forms import accounts_text, errors_of, options_of, passwords, shown_options, stripped
from refstack_worker.server.web.guidelines import programs_of
from refstack_worker.server.web.pages import Answer, caller, form, page, scope, show, typed

_FIELDS = ("label", "endpoint_v3", "region", "release", "test_user", "alt_user", "admin_user")


@page("GET", "/clouds")
def list_clouds() -> Answer:
    return show("clouds.html", clouds=context().ledger.clouds.all(scope()))


@page("GET", "/clouds/new")
def new_cloud() -> Answer:
    """Show the form for a new cloud."""
    caller().need_writer()
    return show_form({}, ())


@form("/clouds/new")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the form with what was typed."""
    return _form(kept, errors, None)


@page("POST", "/clouds/new")
def add_cloud() -> Answer:
    """Add a cloud, and test the connection at once."""
    try:
        known = context().clouds.add(caller(), _body(request.form))
    except (UsageError, PayloadError, StateError) as error:
        return make_response(_form(typed(), errors_of(error, {}), None), 400)
    return _tested(known.cloud.id)


@page("GET", "/clouds/<int:cloud_id>")
def show_cloud(cloud_id: int) -> Answer:
    return show_cloud_forms({}, (), cloud_id)


def show_cloud_forms(kept: Mapping[str, str], errors: tuple[FieldError, ...], cloud_id: int) -> Answer:
    """Show a cloud with what was typed into one of its forms."""
    known = context().clouds.cloud(caller(), cloud_id)
    history = context().ledger.clouds.history(cloud_id)
    links = context().ledger.links.of_cloud(cloud_id)
    programs = sorted({one.name for stored in context().ledger.guidelines.all(scope()) for one in programs_of(stored)})
    values = {"links": links, "programs": programs, "runs": len(context().ledger.runs.of_cloud(cloud_id))}
    values["untested"] = request.args.get("untested") == "yes"
    values["errors"] = {one.field: one.message for one in errors}
    return show("cloud.html", known=known, history=history, plot=plot(history), kept=kept, **values)


@page("GET", "/clouds/<int:cloud_id>/change")
def edit_cloud(cloud_id: int) -> Answer:
    """Show the form with what is known."""
    caller().need_writer()
    known = context().clouds.cloud(caller(), cloud_id)
    kept = {name: str(getattr(known.cloud, name, "")) for name in _FIELDS}
    kept.update(region=known.region, release=known.release, **shown_options(known.options))
    return _form(kept, (), known)


@form("/clouds/<int:cloud_id>/change")
def show_change_form(kept: Mapping[str, str], errors: tuple[FieldError, ...], cloud_id: int) -> Answer:
    """Show the form with what was typed."""
    caller().need_writer()
    return _form(kept, errors, context().clouds.cloud(caller(), cloud_id))


@page("POST", "/clouds/<int:cloud_id>/change")
def change_cloud(cloud_id: int) -> Answer:
    """Change a cloud, and test the connection again."""
    known = context().clouds.cloud(caller(), cloud_id)
    try:
        context().clouds.change(caller(), cloud_id, _body(request.form, known))
    except (UsageError, PayloadError) as error:
        return make_response(_form(typed(), errors_of(error, {}), known), 400)
    return _tested(cloud_id)


@page("POST", "/clouds/<int:cloud_id>/check")
def check_cloud(cloud_id: int) -> Answer:
    context().clouds.check(caller(), cloud_id, _conf(request.form))
    return redirect(f"/clouds/{cloud_id}", 303)


@page("POST", "/clouds/<int:cloud_id>/delete")
def delete_cloud(cloud_id: int) -> Answer:
    context().clouds.delete(caller(), cloud_id, request.form.get("runs") == "yes")
    return redirect("/clouds", 303)


def _tested(cloud_id: int) -> Answer:
    """Test the connection of a cloud that was just stored, if there is room, and lead to its page."""
    try:
        context().clouds.check(caller(), cloud_id, _conf(request.form))
    except RefusedError as error:
        if error.reason != "busy":
            raise
        # an error page would look as if the cloud were not stored
        return redirect(f"/clouds/{cloud_id}?untested=yes", 303)
    return redirect(f"/clouds/{cloud_id}", 303)


def _form(kept: Mapping[str, str], errors: tuple[FieldError, ...], known: CloudRecord | None) -> str:
    shown = {one.field: one.message for one in errors}
    return show("new_cloud.html", form=kept, errors=shown, known=known)


def _body(given: Mapping[str, str], known: CloudRecord | None = None) -> dict[str, Any]:
    """Return the body of the API's call; what is stored of passwords that were not typed stays."""
    conf = options_of(given)
    if given.get("keep") == "yes":
        for layer in (_kept_passwords(given, known), passwords(given)):
            for section, values in layer.items():
                conf.setdefault(section, {}).update(values)
    body = {**stripped(given, *_FIELDS), "conf_json": conf, "forget_passwords": given.get("keep") == "forget"}
    accounts = accounts_text(given, request.files)
    if accounts and given.get("keep") != "yes":
        raise invalid("accounts", "are only stored with the passwords: choose “Store passwords”.")
    if accounts or given.get("forget_accounts") == "yes":
        body["accounts"] = accounts
    check(NEW_CLOUD, body)
    return body


def _kept_passwords(given: Mapping[str, str], known: CloudRecord | None) -> Conf:
    """Return the passwords that stay stored: none for a server that did not get them before."""
    if known is None or not is_same_server(known.cloud.endpoint_v3, given.get("endpoint_v3", "")):
        return {}
    clouds = context().ledger.clouds
    if elsewhere(options_of(given), clouds.saved_conf(known.cloud.id), known.cloud.endpoint_v3):
        return {}
    return without_accounts(clouds.saved_passwords(known.cloud.id))


def _conf(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the options with which the connection is tested."""
    typed_passwords = passwords(given)
    return conf_of({"conf_json": merged(options_of(given), typed_passwords)}) if typed_passwords else {}
