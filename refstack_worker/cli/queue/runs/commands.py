"""``refstack-queue run …``: what vendors and operators do with runs, over the HTTP API, from any machine."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn
from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.runs.options import add_conf_options, add_run_options, body_of, conf_of
from refstack_worker.cli.queue.runs.watch import Watcher, verdict
from refstack_worker.contract.states import ENDS, RunState
from refstack_worker.errors import UsageError

if TYPE_CHECKING:
    _Records = FormattableColumn[list[dict[str, Any]]]
    _Value = FormattableColumn[Any]
else:
    # cliff 4.0 (Debian 12) has no type parameter there
    _Records = _Value = FormattableColumn

LOG = logging.getLogger(__name__)
Columns = tuple[Sequence[str], Sequence[Any]]
Rows = tuple[Sequence[str], Iterable[Sequence[Any]]]

MAX_A_PAGE = 200
POLL_SECONDS = 0.3
SHOWN = (
    "test_id", "state", "attempt", "reason", "message", "tempest_version", "openstack_release", "plugins", "testcases",
    "discover", "concurrency", "timeout", "tag", "priority", "cloud", "label", "created_by", "worker", "progress",
    "counts", "rerun_of", "created_at", "started_at", "ended_at",
)  # fmt: skip


class RunCreate(ShowOne):
    """Trigger a run. It is recorded at once and goes to a node as soon as one is free."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_run_options(parser)
        parser.add_argument("--check", action="store_true", help="only say what the run would lack; start nothing")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = body_of(parsed_args)
        with Api(access_of(self.app.options)) as api:
            if parsed_args.check:
                found = api.post("/v1/runs/check", body)
                return ("outlook", "warnings"), (found["outlook"], Warnings(found["warnings"]))
            run = api.post("/v1/runs", body, key=uuid.uuid4().hex)
        for warning in run.get("warnings", ()):
            LOG.warning("%s", warning)
        return _shown(run)


class RunList(Lister):
    """List runs, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        states = [state.value for state in RunState]
        parser.add_argument("--state", action="append", default=[], choices=states, help="may be repeated")
        parser.add_argument("--tempest-version", metavar="V", help="runs of this version")
        parser.add_argument("--worker", metavar="NODE", help="runs that this node holds or held last")
        parser.add_argument("--cloud", type=int, metavar="ID", help="runs against this cloud")
        parser.add_argument("--text", help="part of the label, the cloud's label or the creator")
        parser.add_argument("--since", default="", metavar="DATE", help="created then or later, as 2026-11-25")
        parser.add_argument("--until", default="", metavar="DATE", help="created before")
        parser.add_argument("--limit", type=int, default=50, help="default: 50; 0: all")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        columns = ("Id", "State", "Attempt", "Tempest", "Label", "Passed", "Failed", "Skipped", "Worker", "Created")
        with Api(access_of(self.app.options)) as api:
            return columns, [_row(run) for run in _pages(api, parsed_args)]


class RunShow(ShowOne):
    """Show a run: what was asked for, where it stands, and its messages."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        path = f"/v1/runs/{parsed_args.id}"
        with Api(access_of(self.app.options)) as api:
            names, values = _shown(api.get(path))
            attempts = api.get(f"{path}/attempts")["attempts"]
            messages = api.get(f"{path}/messages")["messages"]
        return (*names, "attempts", "messages"), (*values, AttemptLines(attempts), Messages(messages))


class RunWatch(Command):
    """Show a run's progress until it ends. The exit status tells the verdict.

    0: every test that ran passed. 1: tests failed. 9: cancelled. 11: failed, no result. Other: the command itself
    failed (docs/refstack-queue.md).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_id(super().get_parser(prog_name))
        parser.add_argument("--lines", action="store_true", help="lines, no bar, on a terminal too")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        with Api(access_of(self.app.options)) as api:
            return Watcher(api, self.app.stdout, parsed_args.lines).watch(parsed_args.id)


class RunCancel(ShowOne):
    """Cancel a run: at once if it waits; else its worker stops it within seconds."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_id(super().get_parser(prog_name))
        parser.add_argument("--wait", action="store_true", help="come back when it has ended")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            run = api.post(f"/v1/runs/{parsed_args.id}/cancel")
            while parsed_args.wait and RunState(run["state"]) not in ENDS:
                time.sleep(POLL_SECONDS)
                run = api.get(f"/v1/runs/{parsed_args.id}")
        return _shown(run)


class RunRerun(ShowOne):
    """Trigger an ended run again, all of it or what failed. The passwords were wiped: give them again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_id(super().get_parser(prog_name))
        add_conf_options(parser)
        parser.add_argument("--only-failed", action="store_true", help="only the tests that failed")
        parser.add_argument("--label", default="", help="default: the old one")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = {"conf_json": conf_of(parsed_args), "only": "failed" if parsed_args.only_failed else "all"}
        if parsed_args.label:
            body["label"] = parsed_args.label
        with Api(access_of(self.app.options)) as api:
            return _shown(api.post(f"/v1/runs/{parsed_args.id}/rerun", body, key=uuid.uuid4().hex))


class RunReport(ShowOne):
    """Show what came of a run: counts, and the tests that failed with the reason of each. The exit status is 0."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_id(super().get_parser(prog_name))
        parser.add_argument("--subunit", type=Path, metavar="FILE", help="save the stream of the results")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        path = f"/v1/runs/{parsed_args.id}"
        with Api(access_of(self.app.options)) as api:
            report = api.get(f"{path}/report")
            if parsed_args.subunit:
                _save(api, f"{path}/subunit", parsed_args.subunit)
        run = report["run"]
        shown = {
            "test_id": run["test_id"],
            "verdict": verdict(run),
            "tempest_version": run["tempest_version"],
            **{name: report[name] for name in ("passed", "failed", "skipped", "seconds", "attempt", "accepted_at")},
            "failed_tests": FailedTests(report["failed_tests"]),
        }
        return tuple(shown), tuple(shown.values())


class Messages(_Records):
    """Status messages: lines for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(f"{item['time']} {item['message']}" for item in self._value)


class AttemptLines(_Records):
    """AttemptLines: lines for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(
            f"{item['attempt']}: {item['worker'] or 'nobody'} {item['outcome'] or 'open'} {item['note']}".rstrip()
            for item in self._value
        )


class FailedTests(_Records):
    """Failed tests: name and the last line of the reason for people, records for machines."""

    def human_readable(self) -> str:
        return "\n".join(f"{item['name']}: {last_line(item['reason'])}" for item in self._value) or "none"


class Warnings(_Value):
    """What a run would lack: a line each for people."""

    def human_readable(self) -> str:
        return "\n".join(self._value) or "none"


class Tests(_Value):
    """What was asked to run: one name or expression a line for people."""

    def human_readable(self) -> str:
        asked = self._value or {}
        lines = [*asked.get("names", ()), *(f"regex {item}" for item in asked.get("regexes", ()))]
        return "\n".join([*lines, *([asked["url"]] if asked.get("url") else [])]) or "the operator's default"


class Counted(_Value):
    """Progress or counts: a few words for people."""

    def human_readable(self) -> str:
        counts = self._value or {}
        said = ", ".join(f"{counts.get(name) or 0} {name}" for name in ("passed", "failed", "skipped"))
        return f"{counts['done']} of {counts['total']}: {said}" if counts.get("total") else said


_COLUMNS = {"testcases": Tests, "progress": Counted, "counts": Counted}


def last_line(text: str) -> str:
    """Return the last line that says something: of a traceback the error itself."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _with_id(parser: Any) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = parser
    found.add_argument("id", type=int, help="as 'run create' and 'run list' show it")
    return found


def _shown(run: dict[str, Any]) -> Columns:
    values = ((name, run.get(name)) for name in SHOWN)
    return SHOWN, tuple(_COLUMNS[name](value) if name in _COLUMNS else value for name, value in values)


def _row(run: dict[str, Any]) -> tuple[Any, ...]:
    counts = run["counts"] if run["state"] == RunState.FINISHED.value else run["progress"]
    tests = tuple(counts[name] for name in ("passed", "failed", "skipped"))
    what = run["tempest_version"] or run["openstack_release"]
    return (run["test_id"], run["state"], run["attempt"], what, run["label"], *tests, run["worker"], run["created_at"])


def _pages(api: Api, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    asked = {
        "state": options.state,
        "tempest_version": options.tempest_version,
        "worker": options.worker,
        "cloud_id": options.cloud,
        "q": options.text,
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


def _save(api: Api, path: str, file: Path) -> None:
    part = file.with_name(file.name + ".part")
    try:
        with open(part, "wb") as out:
            api.save(path, out)
        part.replace(file)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
