"""The page of schedules: list, add, change, pause and delete them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import make_response, redirect, request

from refstack_worker.errors import NotFoundError, StateError, UsageError
from refstack_worker.server.domain.schedules import DAYS, Schedule
from refstack_worker.server.services.inputs.checks import FieldError, check, invalid
from refstack_worker.server.services.schedules import NEW_SCHEDULE, ScheduleService
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.forms import errors_of, id_in, stripped
from refstack_worker.server.web.guidelines import programs_of
from refstack_worker.server.web.pages import Answer, caller, form, page, scope, show, typed

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = {"run.tempest_version": "version", "run.guideline": "program", "run.testcases": "tests", "run": "version"}
"""Fields of the API that the form calls otherwise."""


@page("GET", "/schedules")
def list_schedules() -> Answer:
    return _page({})


@form("/schedules")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the form with what was typed."""
    return _page(kept, errors)


@page("POST", "/schedules")
def add_schedule() -> Answer:
    try:
        body = _body(request.form)
        check(NEW_SCHEDULE, body)
        _service().add(caller(), body)
    except (UsageError, StateError, NotFoundError) as error:
        return make_response(_page(typed(), errors_of(error, _NAMES)), 400)
    return redirect("/schedules", 303)


@page("POST", "/schedules/<int:number>/pause")
def pause_schedule(number: int) -> Answer:
    """Pause or resume a schedule."""
    _service().change(caller(), number, {"paused": request.form.get("paused") == "yes"})
    return redirect("/schedules", 303)


@page("POST", "/schedules/<int:number>/delete")
def delete_schedule(number: int) -> Answer:
    _service().delete(caller(), number)
    return redirect("/schedules", 303)


def _service() -> ScheduleService:
    return ScheduleService(context().ledger, context().submitter)


def _body(given: Mapping[str, str]) -> dict[str, Any]:
    cloud_id = id_in(given.get("cloud_id", ""))
    if cloud_id is None:
        raise invalid("cloud_id", "Choose a cloud.")
    run: dict[str, Any] = {}
    if given.get("version", "").strip():
        run["tempest_version"] = given["version"].strip()
    number, _, program = given.get("program", "").partition(":")
    lines = [line.strip() for line in given.get("tests", "").splitlines() if line.strip()]
    guideline_id = id_in(number)
    if program and guideline_id is None:
        raise invalid("program", "Choose a program.")
    if program:
        run["guideline"] = {"id": guideline_id, "program": program}
    elif lines:
        run["testcases"] = {"regexes": lines}
    if not program and "tempest_version" not in run:
        raise invalid("version", "Enter a Tempest version, or choose a program.")
    days = request.form.getlist("days")
    return {
        "cloud_id": cloud_id,
        "time": given.get("time", ""),
        **({"days": days} if days else {}),
        "run": run,
        **stripped(given, "label"),
    }


def _page(kept: Mapping[str, str], errors: tuple[FieldError, ...] = ()) -> str:
    ledger = context().ledger
    programs = [
        (f"{stored.id}:{program.name}", f"{program.name} {stored.name}")
        for stored in ledger.guidelines.all(scope())
        for program in programs_of(stored)
    ]
    return show(
        "schedules.html",
        schedules=_service().visible(caller()),
        clouds=ledger.clouds.all(scope()),
        programs=programs,
        days=list(zip(DAYS, DAY_NAMES)),
        days_of=_days_of,
        form=kept,
        errors={one.field: one.message for one in errors},
    )


def _days_of(one: Schedule) -> str:
    """Return the days of a schedule for people."""
    if len(one.times.days) == len(DAYS):
        return "every day"
    return ", ".join(DAY_NAMES[DAYS.index(day)] for day in one.times.days)
