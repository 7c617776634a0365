"""``/v1/schedules``: runs that start by themselves."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import times
from refstack_worker.server.domain.schedules import Schedule
from refstack_worker.server.services.schedules import CHANGED_SCHEDULE, NEW_SCHEDULE, ScheduleService

SCHEDULES = Resource("schedules", "Start runs of a cloud automatically, at a time of day.")
_ONE = "/v1/schedules/<int:number>"
_SCHEDULE = reference("Schedule")


@SCHEDULES.call("GET", "/v1/schedules", Who.TOKEN, {200: page("schedules", "Schedule")})
def list_schedules(call: Call) -> Response:
    """List the schedules of your vendor; operators see all."""
    return jsonify({"schedules": [schedule_json(one) for one in _service(call).visible(call.caller)]})


@SCHEDULES.call(
    "POST",
    "/v1/schedules",
    Who.WRITER,
    {201: _SCHEDULE},
    (404, 409, 413),
    Takes(
        NEW_SCHEDULE,
        "NewSchedule",
        {
            "cloud_id": 3,
            "time": "02:30",
            "days": ["mon", "thu"],
            "run": {"guideline": {"name": "2020.06", "program": "storage"}},
            "label": "nightly",
        },
    ),
)
def add_schedule(call: Call) -> Response:
    """Add a schedule. The cloud must store its passwords, because no one is there to enter them.

    A run starts at the time of the day (UTC) on the days given, unless the previous one is still running.
    """
    made = _service(call).add(call.caller, call.body)
    answer = jsonify(schedule_json(made))
    answer.status_code = 201
    answer.headers["Location"] = f"/v1/schedules/{made.id}"
    return answer


@SCHEDULES.call("GET", _ONE, Who.TOKEN, {200: _SCHEDULE}, (404,))
def show_schedule(call: Call, number: int) -> Response:
    """Show a schedule, its last run and when it is due next."""
    return jsonify(schedule_json(_service(call).get(call.caller, number)))


@SCHEDULES.call(
    "PUT",
    _ONE,
    Who.WRITER,
    {200: _SCHEDULE},
    (404, 413),
    Takes(CHANGED_SCHEDULE, "ChangedSchedule", {"time": "04:00", "paused": False}),
)
def change_schedule(call: Call, number: int) -> Response:
    """Change times or label, pause or resume; what is left out stays."""
    return jsonify(schedule_json(_service(call).change(call.caller, number, call.body)))


@SCHEDULES.call("DELETE", _ONE, Who.WRITER, {204: None}, (404,))
def delete_schedule(call: Call, number: int) -> Response:
    """Delete a schedule; its runs stay."""
    _service(call).delete(call.caller, number)
    return Response(status=204)


def _service(call: Call) -> ScheduleService:
    return ScheduleService(call.ledger, call.context.submitter)


def schedule_json(one: Schedule) -> dict[str, Any]:
    """Return a schedule. No password is in it: the cloud stores them."""
    return {
        "id": one.id,
        "cloud": {"id": one.cloud_id, "label": one.cloud_label},
        "label": one.label,
        "time": one.times.clock,
        "days": list(one.times.days),
        "run": dict(one.body),
        "owner_id": one.owner_id,
        "created_by": one.created_by,
        "paused": bool(one.paused_at),
        "last_test_id": one.last_test_id,
        "problem": one.problem,
        **times(one, "created_at", "last_at"),
        "next_at": None if one.paused_at else times(one, "next_at")["next_at"],
    }
