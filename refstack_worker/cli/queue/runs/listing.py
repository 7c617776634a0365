"""``refstack-queue run list``: a table that fits a terminal for people, all columns for programs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from cliff.lister import Lister

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.names import cloud_id, vendor_id
from refstack_worker.cli.queue.numbers import count
from refstack_worker.cli.queue.records import Rows
from refstack_worker.contract.states import RunState, status_word

MAX_A_PAGE = 200
COLUMNS = (
    "Id", "State", "Attempt", "Tempest", "Label", "Passed", "Failed", "Skipped", "Worker", "Created", "Cloud",
    "Program", "Verdict", "Owner", "Seconds",
)  # fmt: skip
FOR_PEOPLE = ("Id", "Status", "Label", "Cloud", "Program", "Tests", "Created")
"""Columns of a table, unless ``--long`` asks for all."""


class RunList(Lister):
    """List runs, newest first; options narrow the list."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        states = [state.value for state in RunState]
        parser.add_argument("--state", action="append", default=[], choices=states, help="may be repeated")
        parser.add_argument("--tempest-version", metavar="V", help="runs of this version")
        parser.add_argument("--worker", metavar="NODE", help="runs that are, or last were, on this node")
        parser.add_argument("--cloud", metavar="CLOUD", help="runs against this cloud: name or id")
        parser.add_argument("--text", help="part of the name, the cloud's name or the creator")
        parser.add_argument(
            "--since", default="", metavar="DATE", help="created on this date or later, e.g. 2026-11-25"
        )
        parser.add_argument("--until", default="", metavar="DATE", help="created before this date")
        parser.add_argument(
            "--program", default="", help="runs evaluated against this program: in full, or its last words"
        )
        parser.add_argument("--vendor", default="", help="runs of this vendor's users: name or id (operators)")
        parser.add_argument("--limit", type=count, default=50, help="default: 50; 0: all")
        parser.add_argument("--long", action="store_true", help="all columns in a table, too")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            runs = list(_pages(api, parsed_args))
        if parsed_args.formatter != "table" or parsed_args.long or parsed_args.columns:
            return COLUMNS, [_row(run) for run in runs]
        return FOR_PEOPLE, [_row_for_people(run) for run in runs]


def _row(run: dict[str, Any]) -> tuple[Any, ...]:
    counts = run["counts"] if run["state"] == RunState.FINISHED.value else run["progress"]
    tests = tuple(counts[name] for name in ("passed", "failed", "skipped"))
    what = run["tempest_version"] or run["openstack_release"]
    verdict = run.get("verdict")
    judged = (
        f"{'passed' if verdict['passed'] else 'not passed'} {verdict['count']}/{verdict['total']}" if verdict else ""
    )
    return (
        run["test_id"], run["state"], run["attempt"], what, run["label"], *tests, run["worker"],
        _to_the_second(run["created_at"]), (run["cloud"] or {}).get("label", ""), run.get("program") or "", judged,
        run.get("owner") or "", _seconds(run),
    )  # fmt: skip


def _row_for_people(run: dict[str, Any]) -> tuple[Any, ...]:
    verdict, cloud = run.get("verdict"), run["cloud"] or {}
    program = run.get("program") or ""
    if verdict:
        program += f", {verdict['count']}/{verdict['total']}"
    word = status_word(RunState(run["state"]), run["counts"]["failed"], verdict is None or verdict["passed"])
    age = _age(datetime.now(timezone.utc) - _moment(run["created_at"]))
    return run["test_id"], word, run["label"], cloud.get("label", ""), program, _tests(run), age


def _tests(run: dict[str, Any]) -> str:
    """Return what became of the tests, in words."""
    counts = run["counts"] if run["state"] == RunState.FINISHED.value else run["progress"]
    passed, failed = counts["passed"], counts["failed"]
    if run["state"] == RunState.RUNNING.value and counts["total"]:
        return f"{counts['done']}/{counts['total']}" + (f", {failed} failed" if failed else "")
    return f"{failed} of {passed + failed} failed" if failed else f"{passed} passed" if passed else ""


def _age(passed: timedelta) -> str:
    """Return how long ago something was, roughly."""
    seconds = max(0, int(passed.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _to_the_second(moment: str | None) -> str:
    return re.sub(r"\.\d+", "", moment or "")


def _seconds(run: dict[str, Any]) -> int | None:
    """Return how long an ended run took; None: it has not begun, or not ended."""
    if not run["started_at"] or not run["ended_at"]:
        return None
    return round((_moment(run["ended_at"]) - _moment(run["started_at"])).total_seconds())


def _pages(api: Api, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    asked = {
        "state": options.state,
        "tempest_version": options.tempest_version,
        "worker": options.worker,
        "cloud_id": cloud_id(api, options.cloud) if options.cloud else None,
        "q": options.text,
        "program": options.program,
        "vendor_id": vendor_id(api, options.vendor) if options.vendor else None,
        "since": options.since,
        "until": options.until,
    }
    query = {name: value for name, value in asked.items() if value}
    left = options.limit or float("inf")
    before: int | None = None
    while left > 0:
        page = {**query, "limit": int(min(left, MAX_A_PAGE)), **({"before": before} if before else {})}
        found = api.get("/v1/runs", page)
        yield from found["runs"]
        left -= len(found["runs"])
        before = found["next_before"]
        if before is None:
            return
