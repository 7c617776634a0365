"""The page of notifications, and one for each with its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import make_response, redirect, request

from refstack_worker.errors import StateError, UsageError
from refstack_worker.server.domain.notifications import CHOICES, OPERATORS_ONLY, EventKind
from refstack_worker.server.services.inputs.checks import FieldError, check
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.services.notifications import NEW_NOTIFICATION, NotificationService
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import number as number_of
from refstack_worker.server.web.forms import errors_of
from refstack_worker.server.web.pages import Answer, caller, form, page, show, typed

PAGE_ENTRIES = 50
KIND_WORDS = {
    EventKind.RUN_ENDED: "A run ended, whatever the result",
    EventKind.RUN_NOT_PASSED: "A run had failed tests, failed, or was cancelled",
    EventKind.RUN_FAILING: "The first test of a run failed",
    EventKind.RUN_WAITING: "A run cannot start: no node serves it",
    EventKind.SCHEDULE_SKIPPED: "A schedule was due but started no run",
    EventKind.NODE_LOST: "A node stopped reporting",
    EventKind.TEST: "Test message",
}


@dataclass(frozen=True)
class NotificationForm:
    """What the page shows beside the list."""

    form: Mapping[str, str]
    errors: tuple[FieldError, ...] = ()
    secret: str = ""


@page("GET", "/notifications")
def list_notifications() -> Answer:
    return _page(NotificationForm({}))


@form("/notifications")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the form with what was typed."""
    return _page(NotificationForm(kept, errors))


@page("POST", "/notifications")
def add_notification() -> Answer:
    try:
        body = _body(request.form)
        check(NEW_NOTIFICATION, body)
        secret = _service().add(caller(), body).secret
    except (UsageError, StateError) as error:
        return make_response(_page(NotificationForm(typed(), errors_of(error, {}))), 400)
    return _page(NotificationForm({}, secret=secret)) if secret else redirect("/notifications", 303)


@page("GET", "/notifications/<int:number>")
def show_notification(number: int) -> Answer:
    """Show a notification with its messages."""
    return _one(number)


@page("POST", "/notifications/<int:number>/test")
def test_notification(number: int) -> Answer:
    _service().test(caller(), number)
    return redirect(f"/notifications/{number}", 303)


@page("POST", "/notifications/<int:number>/pause")
def pause_notification(number: int) -> Answer:
    """Pause or resume a notification."""
    _service().change(caller(), number, {"paused": request.form.get("paused") == "yes"})
    return redirect(f"/notifications/{number}", 303)


@page("POST", "/notifications/<int:number>/secret")
def renew_notification_secret(number: int) -> Answer:
    return _one(number, _service().renew_secret(caller(), number).secret)


@page("POST", "/notifications/<int:number>/delete")
def delete_notification(number: int) -> Answer:
    _service().delete(caller(), number)
    return redirect("/notifications", 303)


def _service() -> NotificationService:
    return NotificationService(context().ledger)


def _body(given: Mapping[str, str]) -> dict[str, Any]:
    channel = given.get("channel", "")
    body: dict[str, Any] = {"channel": channel, "target": given.get("address" if channel == "mail" else "url", "")}
    body = {**body, "target": body["target"].strip(), "kinds": request.form.getlist("kinds")}
    optional = {name: given[name].strip() for name in ("scope", "label") if given.get(name)}
    return {**body, **optional}


def _page(shown: NotificationForm) -> str:
    ledger, who = context().ledger, caller()
    return show(
        "notifications.html",
        notifications=_service().visible(who),
        choices=[(kind.value, KIND_WORDS[kind]) for kind in CHOICES if who.is_operator or kind not in OPERATORS_ONLY],
        words={kind.value: text for kind, text in KIND_WORDS.items()},
        has_mail=ledger.settings.notify.smtp_server is not None,
        addresses=[] if who.is_operator else _service().addresses(who),
        secret=shown.secret,
        form=shown.form,
        errors={one.field: one.message for one in shown.errors},
    )


def _one(number: int, secret: str = "") -> str:  # nosec B107 - empty: none to show
    before = request.args.get("before", "")
    after = number_of(before, "before", 0, MAX_ID) if before else 0
    log = _service().deliveries(caller(), number, after, PAGE_ENTRIES + 1)
    return show(
        "notification.html",
        one=_service().get(caller(), number),
        log=log[:PAGE_ENTRIES],
        more=log[PAGE_ENTRIES - 1].id if len(log) > PAGE_ENTRIES else 0,
        words={kind.value: text for kind, text in KIND_WORDS.items()},
        secret=secret,
    )
