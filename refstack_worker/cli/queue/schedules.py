"""``refstack-queue schedule …``: runs that start by themselves."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.names import cloud_id, schedule_id
from refstack_worker.cli.queue.records import Columns, Rows
from refstack_worker.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class ScheduleList(Lister):
    """List your vendor's schedules; operators see all."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/schedules")["schedules"]
        return ("Id", "Cloud", "When (UTC)", "Next run", "Last run", "State", "Label"), [_row(one) for one in found]


class ScheduleCreate(ShowOne):
    """Start runs of a cloud automatically, at a time of day (UTC).

    The cloud must store its passwords ('cloud create --keep-password'), because no one is there to enter them.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("cloud", help="id or name of a cloud, as 'cloud list' shows it")
        parser.add_argument("--at", required=True, metavar="HH:MM", help="time of the day, UTC")
        parser.add_argument("--days", default="", metavar="mon,thu", help="days of the week (default: every day)")
        parser.add_argument("--program", default="", help="program of a guideline, e.g. storage")
        parser.add_argument("--guideline", default="", help="name of the guideline, e.g. 2020.06; needs --program")
        parser.add_argument(
            "--tempest-version", default="", metavar="V", help="Tempest version; may be omitted with --program"
        )
        parser.add_argument("--regex", action="append", default=[], help="tests by regular expression; may be repeated")
        parser.add_argument("--label", default="", help="name of the schedule and its runs")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body: dict[str, Any] = {"time": parsed_args.at, "run": _run(parsed_args), "label": parsed_args.label}
        if parsed_args.days:
            body["days"] = [day.strip().lower() for day in parsed_args.days.split(",")]
        with Api(access_of(self.app.options)) as api:
            body["cloud_id"] = cloud_id(api, parsed_args.cloud)
            made = api.post("/v1/schedules", body)
        return ("id", "cloud", "time", "days", "next_at"), (
            made["id"], made["cloud"]["label"], made["time"], " ".join(made["days"]), made["next_at"],
        )  # fmt: skip


class _ScheduleCommand(Command):
    """A command about one schedule."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("schedule", help="id or name, as 'schedule list' shows it")
        return parser


class ScheduleDelete(_ScheduleCommand):
    """Delete a schedule; its runs stay."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = schedule_id(api, parsed_args.schedule)
            api.delete(f"/v1/schedules/{number}")
        self.app.stdout.write(f"schedule {number} is deleted; its runs stay\n")


class SchedulePause(_ScheduleCommand):
    """Pause a schedule: it starts no runs."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = schedule_id(api, parsed_args.schedule)
            api.put(f"/v1/schedules/{number}", {"paused": True})
        self.app.stdout.write(f"schedule {number} is paused\n")


class ScheduleResume(_ScheduleCommand):
    """Resume a schedule at its next time; runs that were due meanwhile are skipped."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = schedule_id(api, parsed_args.schedule)
            api.put(f"/v1/schedules/{number}", {"paused": False})
        self.app.stdout.write(f"schedule {number} is active again\n")


def _run(options: argparse.Namespace) -> dict[str, Any]:
    run: dict[str, Any] = {}
    if options.program and not options.guideline:
        raise UsageError("--program needs --guideline, e.g. 2020.06")
    if options.program:
        run["guideline"] = {"name": options.guideline, "program": options.program}
    if options.regex:
        run["testcases"] = {"regexes": options.regex}
    if options.tempest_version:
        run["tempest_version"] = options.tempest_version
    if "guideline" not in run and "tempest_version" not in run:
        raise UsageError("give --tempest-version, or --guideline and --program")
    return run


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    when = f"{one['time']} {'every day' if len(one['days']) == len(DAYS) else ','.join(one['days'])}"
    state = "paused" if one["paused"] else f"no run: {one['problem']}" if one["problem"] else "active"
    last = one["last_test_id"] or ""
    return one["id"], one["cloud"]["label"], when, one["next_at"] or "", last, state, one["label"]
