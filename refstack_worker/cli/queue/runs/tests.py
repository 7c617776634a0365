"""``refstack-queue run tests``, ``run compare`` and ``run log``: the tests of a run, what changed, what they did."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from cliff.command import Command
from cliff.lister import Lister

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.output import save
from refstack_worker.cli.queue.records import Rows
from refstack_worker.cli.queue.runs.commands import with_id
from refstack_worker.cli.queue.runs.values import last_line
from refstack_worker.contract.states import ENDS, RunState
from refstack_worker.errors import UsageError

_PAGE = 2000
POLL_SECONDS = 2.0
"""Between two questions for new lines: nodes send them as often."""
CHANGES = {
    "broken": "new failure",
    "mended": "fixed",
    "other": "other change",
    "added": "only in the second",
    "gone": "only in the first",
}
"""Group of a comparison to the words for it."""


class RunTests(Lister):
    """List the tests of a result: all, or those with a status or a name."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_id(super().get_parser(prog_name))
        parser.add_argument("--status", choices=("passed", "failed", "skipped"))
        parser.add_argument("--text", help="part of the name or the id")
        parser.add_argument("--by-time", action="store_true", help="list the slowest tests first")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        asked = {"status": parsed_args.status, "q": parsed_args.text}
        query = {name: value for name, value in asked.items() if value}
        with Api(access_of(self.app.options)) as api:
            tests = list(_pages(api, f"/v1/runs/{parsed_args.id}/results", query, "tests"))
        if parsed_args.by_time:
            tests.sort(key=lambda test: -test["seconds"])
        rows = [(test["name"], test["status"], round(test["seconds"], 2), last_line(test["reason"])) for test in tests]
        return ("Test", "Status", "Seconds", "Reason"), rows


class RunCompare(Lister):
    """List what changed from one run to another: new failures, fixed tests, tests of only one of them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("first", type=int, help="the earlier run")
        parser.add_argument("second", type=int, help="the later run")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            found = api.get(f"/v1/runs/{parsed_args.second}/compare/{parsed_args.first}")
        return ("Change", "Test", "Status", "Reason"), [
            (word, test["name"], test["status"], last_line(test["reason"]))
            for kind, word in CHANGES.items()
            for test in found[kind]
        ]


class RunLog(Command):
    """Print what the tests of a run do and which requests they send, secrets masked.

    With --tempest, print Tempest's own log, once the run has ended.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_id(super().get_parser(prog_name))
        what = parser.add_mutually_exclusive_group()
        what.add_argument("-f", "--follow", action="store_true", help="keep printing until the run ends")
        what.add_argument("--tempest", nargs="?", const="-", metavar="FILE", help="tempest.log; default: print it")
        parser.add_argument("--json", action="store_true", help="lines of JSON, as the API returns them")
        parser.add_argument("--test", default="", help="only lines of tests whose names contain this")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        if parsed_args.tempest and (parsed_args.json or parsed_args.test):
            raise UsageError("--json and --test cannot be used with --tempest: they filter the console")
        with Api(access_of(self.app.options)) as api:
            if parsed_args.tempest:
                save(api, f"/v1/runs/{parsed_args.id}/log", parsed_args.tempest)
                return
            printer = _Printer(self.app.stdout, parsed_args.json, parsed_args.test)
            _print_console(api, parsed_args.id, printer, parsed_args.follow)


def console_text(line: Mapping[str, Any]) -> str:
    """Return a line of the console for people."""
    stamp = time.strftime("%H:%M:%S", time.gmtime(line["time"]))
    if line["event"] == "test":
        seconds = f" ({line['seconds']:.2f} s)" if line["seconds"] else ""
        return f"{stamp} {line['status']:8} {line['test']}{seconds}"
    return (
        f"{stamp} {line['status']:<8} {line['method']} {line['service']} {line['path']} {line['ms']} ms "
        f"{line['request_id']}"
    ).rstrip()


class _Printer:
    """Prints lines of the console."""

    def __init__(self, out: TextIO, as_json: bool, test: str) -> None:
        self._out, self._as_json, self._test = out, as_json, test

    def print(self, line: Mapping[str, Any]) -> None:
        if self._test in line.get("test", ""):
            self._out.write((json.dumps(line) if self._as_json else console_text(line)) + "\n")

    def flush(self) -> None:
        self._out.flush()


def _print_console(api: Api, test_id: int, printer: _Printer, follow: bool) -> None:
    after, attempt = -1, 0
    while True:
        # asked first: what comes between two questions is printed after the last
        has_ended = not follow or RunState(api.get(f"/v1/runs/{test_id}")["state"]) in ENDS
        query = {"limit": _PAGE, **({"after": after} if after >= 0 else {})}
        page = api.get(f"/v1/runs/{test_id}/console", query)
        if page["attempt"] != attempt:
            attempt, is_next = page["attempt"], after >= 0
            if is_next:
                after = -1
                continue
        for line in page["lines"]:
            printer.print(line)
        printer.flush()
        if page["lines"]:
            after = page["next_after"]
        elif has_ended:
            return
        else:
            time.sleep(POLL_SECONDS)


def _pages(api: Api, path: str, query: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        page = api.get(path, {**query, "limit": _PAGE, **({"after": after} if after else {})})
        yield from page[name]
        after = page["next_after"]
