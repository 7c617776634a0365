"""What users and operators do with schedules, and how one that is due starts its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.scopes import OPERATOR, VENDOR
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.runs import Run
from refstack_worker.server.domain.schedules import DAYS, NewSchedule, Schedule, Times
from refstack_worker.server.ledger import new_runs
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.queue.submitter import Submitter
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.run_input import NEW_RUN
from refstack_worker.server.services.inputs.schema import FLAG, ID, Json, array, choice, fields, string
from refstack_worker.server.services.runs import RunService

_SECRET_OR_ONCE = ("conf_json", "accounts", "test_id", "cloud_id", "label")
_TIME = string(
    5,
    "^([01][0-9]|2[0-3]):[0-5][0-9]$",
    description="UTC, e.g. 02:30",
    **{"x-expected": "must be a time of day (UTC), e.g. 02:30"},
)
_DAYS = array(choice(*DAYS), minItems=1, maxItems=7, description="Default: every day")
_LABEL = string(200, description="Name of the schedule and its runs")
_RUN: Json = {
    **fields(**{name: one for name, one in NEW_RUN["properties"].items() if name not in _SECRET_OR_ONCE}),
    "description": "As for a new run; without passwords and accounts, which the cloud stores",
}
NEW_SCHEDULE = fields("cloud_id", "time", "run", cloud_id=ID, time=_TIME, days=_DAYS, run=_RUN, label=_LABEL)
CHANGED_SCHEDULE = fields(time=_TIME, days=_DAYS, label=_LABEL, paused=FLAG)


@dataclass(frozen=True)
class ScheduleService:
    """The users' side of schedules."""

    ledger: Ledger
    submitter: Submitter

    def visible(self, caller: Caller) -> list[Schedule]:
        """Return the schedules of a caller and the caller's vendor; operators see all."""
        return self.ledger.schedules.all(self._owners(caller))

    def get(self, caller: Caller, number: int) -> Schedule:
        """Return one. :raises NotFoundError: there is none that the caller sees."""
        found = self.ledger.schedules.get(number)
        owners = self._owners(caller)
        if owners is not None and found.owner_id not in owners:
            raise NotFoundError(f"there is no schedule {number}")
        return found

    def add(self, caller: Caller, body: Mapping[str, Any]) -> Schedule:
        """Add one. :param body: of the schema :data:`NEW_SCHEDULE`. :raises InvalidInput: no run can come of it."""
        caller.need_writer()
        if not caller.is_operator and caller.token.user_id is None:
            # without an owner a schedule is the operators', with their rights
            raise refused("scope", "This token belongs to no user, so its runs would have no owner.")
        self._check_cloud(caller, body["cloud_id"])
        run = dict(body["run"])
        self._check_run(caller, {**run, "cloud_id": body["cloud_id"]})
        new = NewSchedule(
            cloud_id=body["cloud_id"],
            body=run,
            times=Times.of(body["time"], tuple(body.get("days", DAYS))),
            owner_id=None if caller.is_operator else caller.token.user_id,
            label=body.get("label", ""),
            created_by=caller.name,
        )
        return self.ledger.schedules.add(new, self._owners(caller) or ())

    def change(self, caller: Caller, number: int, body: Mapping[str, Any]) -> Schedule:
        """Change times or label, pause or resume. :param body: of the schema :data:`CHANGED_SCHEDULE`."""
        caller.need_writer()
        found = self.get(caller, number)
        if "time" in body or "days" in body:
            days = tuple(body.get("days", found.times.days))
            self.ledger.schedules.set_times(number, Times.of(body.get("time", found.times.clock), days))
        if "label" in body:
            self.ledger.schedules.set_label(number, body["label"])
        if "paused" in body and body["paused"] != bool(found.paused_at):
            change = self.ledger.schedules.pause if body["paused"] else self.ledger.schedules.resume
            change(number)
        return self.get(caller, number)

    def delete(self, caller: Caller, number: int) -> None:
        """Remove one; its runs stay."""
        caller.need_writer()
        self.get(caller, number)
        self.ledger.schedules.delete(number)

    def start(self, due: Schedule) -> Run:
        """Start the run of a schedule that is due, as its owner would; the same due time again gives the same run.

        :raises RefstackError: the owner could not start it now.
        """
        body = {**due.body, "cloud_id": due.cloud_id, "label": due.label or f"Schedule {due.id}"}
        self._need_passwords(due.cloud_id)
        key = f"schedule {due.id} at {due.next_at:.0f}"
        return RunService(self.ledger, self.submitter, split_turns=None).create(_owner(due), body, key)

    def _check_cloud(self, caller: Caller, cloud_id: int) -> None:
        try:
            access.visible_cloud(self.ledger, caller, cloud_id)
        except NotFoundError as error:
            raise invalid("cloud_id", str(error)) from None
        self._need_passwords(cloud_id)

    def _need_passwords(self, cloud_id: int) -> None:
        if not self.ledger.clouds.get(cloud_id, None).keeps_passwords:
            raise invalid(
                "cloud_id", "this cloud stores no passwords, and no one is there to enter them; store them first"
            )

    def _check_run(self, caller: Caller, body: Mapping[str, Any]) -> None:
        service = RunService(self.ledger, self.submitter)
        requested, _choice = service.requested(caller, body)
        service.check_rights(caller, requested)
        new_runs.check(requested, self.ledger.settings)

    def _owners(self, caller: Caller) -> Sequence[int] | None:
        scope = access.scope_of(self.ledger, caller)
        return None if scope is None else scope.owner_ids


def _owner(due: Schedule) -> Caller:
    """Return the owner of a schedule as a caller; no request and no token come from there."""
    scope = OPERATOR if due.owner_id is None else VENDOR
    return Caller(Token(0, due.created_by, (scope,), due.owner_id))
