"""``refstack-queue run verdict`` and ``run export``: what a result means, and its files."""

from __future__ import annotations

import argparse
import json
from typing import Any

from cliff.command import Command

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.output import save
from refstack_worker.contract import export_formats
from refstack_worker.errors import UsageError

MAX_REASON = 100
"""Characters of the reason of a test in a verdict; 'run report' has the causes in full."""


class RunVerdict(Command):
    """Show a run's verdict for a program. Exit status 0: passed; 1: not passed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="id of the run")
        parser.add_argument("--guideline", default="", help="e.g. 2020.06; default: the run's own")
        parser.add_argument("--program", default="")
        parser.add_argument("--json", action="store_true", help="print the raw API response")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if bool(parsed_args.guideline) != bool(parsed_args.program):
            raise UsageError("give --guideline and --program together ('refstack-queue guideline list' shows them)")
        query = {"guideline": parsed_args.guideline, "program": parsed_args.program} if parsed_args.guideline else {}
        with Api(access_of(self.app.options)) as api:
            told = api.get(f"/v1/runs/{parsed_args.id}/verdict", query)
        self.app.stdout.write(json.dumps(told, indent=1) + "\n" if parsed_args.json else _verdict_text(told))
        return 0 if told["passed"] else 1


class RunExport(Command):
    """Save a run's result: subunit, JUnit XML, HTML, CSV, JSON, RefStack's upload format, or the signed verdict."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int)
        parser.add_argument(
            "format",
            choices=export_formats.ALL,
        )
        parser.add_argument("file", help="- is standard output")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        kind = parsed_args.format
        path = f"/v1/runs/{parsed_args.id}/" + (kind if kind == export_formats.SUBUNIT else f"exports/{kind}")
        with Api(access_of(self.app.options)) as api:
            save(api, path, parsed_args.file)


def _verdict_text(told: dict[str, Any]) -> str:
    required = told["required"]
    own = "" if told["origin"] != "own" else " (a vendor's own guideline, not official)"
    lines = [
        f"{told['program']}, guideline {told['guideline']}{own}: {'passed' if told['passed'] else 'not passed'}",
        f"{required['passed']} of {required['total']} required tests passed",
    ]
    if told["combined"]:
        lines.append(f"combined over the runs {', '.join(map(str, told['combined']))}")
    if told.get("not_combined"):
        lines.append(told["not_combined"])
    if required["by_id"]:
        lines.append(
            f"{required['by_id']} of them under names that the guideline does not list; RefStack will not count them"
        )
    for capability in required["capabilities"]:
        lines += [f"{capability['name']}: {_lacking(test)}" for test in capability["lacking"]]
    return "\n".join(lines) + "\n"


def _lacking(test: dict[str, Any]) -> str:
    reason = test.get("reason") or ""
    short = f"{reason[:MAX_REASON]}…" if len(reason) > MAX_REASON else reason
    return f"{test['status']}: {test['name']}" + (f": {short}" if short else "")
