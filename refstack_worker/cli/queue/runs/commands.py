"""``refstack-queue run …``: what vendors and operators do with runs, over the HTTP API, from any machine."""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Sequence
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.output import save
from refstack_worker.cli.queue.runs.options import add_conf_options, conf_of
from refstack_worker.cli.queue.runs.values import (
    AttemptLines,
    Causes,
    Counted,
    FailedTests,
    Messages,
    PlaceWords,
    ShardLines,
    Tests,
    VerdictWords,
)
from refstack_worker.cli.queue.runs.watch import Watcher, program_verdict, verdict
from refstack_worker.contract.states import ENDS, RunState

Columns = tuple[Sequence[str], Sequence[Any]]

_STARTED = ("test_id", "state", "message", "tempest_version", "openstack_release", "label", "program", "place", "url")
"""What a table shows of a run that was just started or changed."""
POLL_SECONDS = 0.3
SHOWN = (
    "test_id", "state", "attempt", "reason", "message", "tempest_version", "openstack_release", "plugins", "testcases",
    "discover", "concurrency", "timeout", "shards", "tag", "priority", "cloud", "label", "created_by", "worker",
    "progress", "counts", "rerun_of", "program", "verdict", "owner", "place", "url", "created_at", "started_at",
    "ended_at",
)  # fmt: skip


class RunShow(ShowOne):
    """Show a run: its settings, status and messages."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        path = f"/v1/runs/{parsed_args.id}"
        with Api(access_of(self.app.options)) as api:
            names, values = shown_run(api.get(path))
            attempts = api.get(f"{path}/attempts")["attempts"]
            messages = api.get(f"{path}/messages")["messages"]
            parts = api.get(f"{path}/shards")["shards"] if values[names.index("shards")] else []
        more = {"nodes": ShardLines(parts)} if parts else {}
        shown = {**more, "attempts": AttemptLines(attempts), "messages": Messages(messages)}
        return (*names, *shown), (*values, *shown.values())


class RunWatch(Command):
    """Show progress, and failures as they happen, until a run ends.

    Exits 0 if all tests that ran passed, 1 if tests failed, 9 if the run was cancelled, 11 if it ended without a
    result. Other codes: the command itself failed (docs/refstack-queue.md).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_id(super().get_parser(prog_name))
        parser.add_argument("--lines", action="store_true", help="print lines instead of a progress bar")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        with Api(access_of(self.app.options)) as api:
            return Watcher(api, self.app.stdout, parsed_args.lines).watch(parsed_args.id)


class RunCancel(ShowOne):
    """Cancel a run. A waiting run ends at once; a running one is stopped within seconds."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_id(super().get_parser(prog_name))
        parser.add_argument("--wait", action="store_true", help="wait until the run has ended")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            run = api.post(f"/v1/runs/{parsed_args.id}/cancel")
            while parsed_args.wait and RunState(run["state"]) not in ENDS:
                time.sleep(POLL_SECONDS)
                run = api.get(f"/v1/runs/{parsed_args.id}")
            return started_run(api, run, parsed_args)


class RunDelete(Command):
    """Permanently delete runs that have ended, with their results."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, nargs="+", help="as 'run list' shows it; several may be named")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            for test_id in parsed_args.id:
                api.delete(f"/v1/runs/{test_id}")


class RunRerun(ShowOne):
    """Rerun all tests of a run that ended, or those that failed. Its passwords were erased: give them again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_id(super().get_parser(prog_name))
        add_conf_options(parser)
        parser.add_argument("--only-failed", action="store_true", help="only the tests that failed")
        parser.add_argument("--label", default="", help="default: that of the run")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = {"conf_json": conf_of(parsed_args), "only": "failed" if parsed_args.only_failed else "all"}
        if parsed_args.label:
            body["label"] = parsed_args.label
        with Api(access_of(self.app.options)) as api:
            run = api.post(f"/v1/runs/{parsed_args.id}/rerun", body, key=uuid.uuid4().hex)
            return started_run(api, run, parsed_args)


class RunReport(ShowOne):
    """Show counts and failures. The exit status is 0 even if tests failed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_id(super().get_parser(prog_name))
        parser.add_argument(
            "--subunit", metavar="FILE", help="save the subunit stream to this file; - is standard output"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        path = f"/v1/runs/{parsed_args.id}"
        with Api(access_of(self.app.options)) as api:
            report = api.get(f"{path}/report")
            if parsed_args.subunit:
                save(api, f"{path}/subunit", parsed_args.subunit)
        run = report["run"]
        shown = {
            "test_id": run["test_id"],
            "verdict": verdict(run),
            "program": program_verdict(run),
            "tempest_version": run["tempest_version"],
            **{name: report[name] for name in ("passed", "failed", "skipped", "seconds", "attempt", "accepted_at")},
            "why": Causes(report["causes"]),
            "failed_tests": FailedTests(report["failed_tests"]),
        }
        return tuple(shown), tuple(shown.values())


_COLUMNS = {"testcases": Tests, "progress": Counted, "counts": Counted, "verdict": VerdictWords, "place": PlaceWords}


def with_id(parser: Any) -> argparse.ArgumentParser:
    """Add the argument that names a run."""
    found: argparse.ArgumentParser = parser
    found.add_argument("id", type=int, help="id of the run, as 'run create' and 'run list' show it")
    return found


def started_run(api: Api, run: dict[str, Any], options: argparse.Namespace) -> Columns:
    """Return a run that was just started or changed: in a table what is to be known of it, else all of it."""
    if options.formatter != "table" or options.columns:
        return shown_run(run)
    # the answer to the start has no place in the queue
    run = api.get(f"/v1/runs/{run['test_id']}")
    shown = [(name, value) for name, value in zip(*shown_run(run)) if name in _STARTED and run.get(name)]
    return tuple(name for name, _value in shown), tuple(value for _name, value in shown)


def shown_run(run: dict[str, Any]) -> Columns:
    """Return a run as the commands print it."""
    values = ((name, run.get(name)) for name in SHOWN)
    return SHOWN, tuple(_COLUMNS[name](value) if name in _COLUMNS else value for name, value in values)
