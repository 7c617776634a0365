"""``refstack-queue guideline …``: what interop programs require."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.names import guideline_id
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns
from refstack_worker.contract import text_lists
from refstack_worker.contract.limits import MAX_GUIDELINE_BYTES
from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import UsageError

_PROGRAM = "full name, its last words (Storage), or RefStack's short name"
_CALLED = re.compile(r"((?:[a-z_]+\.)?(?:[0-9]{4}\.[0-9]{2}|next))\.json")


class GuidelineList(Lister):
    """List guidelines and their programs."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        rows = []
        with Api(access_of(self.app.options)) as api:
            for one in api.get("/v1/guidelines")["guidelines"]:
                programs = api.get(f"/v1/guidelines/{one['id']}")["programs"]
                rows += [
                    (one["id"], one["name"], one["origin"], program["name"], program["required"])
                    for program in programs
                ]
        return ("Id", "Guideline", "Origin", "Program", "Required tests"), rows


class GuidelineAdd(ShowOne):
    """Add an interop guideline from a file, or from a URL that the operator allows.

    Guidelines that operators add are official. The name is taken from the file name (2020.06.json, dns.2020.06.json).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("source", help="file or https:// URL")
        parser.add_argument("--name", default="", help="name to use instead of the one in the file")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        source: str = parsed_args.source
        body = {"url": source} if source.startswith(("http://", "https://")) else {"text": _text(Path(source))}
        called = _CALLED.fullmatch(source.rpartition("/")[2])
        name = parsed_args.name or (called.group(1) if called else "")
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.post("/v1/guidelines", {**body, "name": name} if name else body))


class GuidelineShow(ShowOne):
    """Show a guideline: its owner, its programs, and the Tempest version that fits each program."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_guideline(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            found = api.get(f"/v1/guidelines/{guideline_id(api, parsed_args.guideline)}")
        names, values = plain_columns(found)
        programs = "\n".join(
            f"{one['name']}: {one['required']} required and {one['advisory']} advisory tests"
            + (f", Tempest {one['tempest_version']}" if one["tempest_version"] else "")
            for one in found["programs"]
        )
        return (*names, "releases", "programs"), (*values, ", ".join(found["releases"]), programs)


class GuidelineCapabilities(Lister):
    """List the capabilities of a program: required, advisory, deprecated and removed ones."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_guideline(super().get_parser(prog_name))
        parser.add_argument("--program", default="", help=f"{_PROGRAM}; default: all")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        wanted = parsed_args.program.casefold()
        with Api(access_of(self.app.options)) as api:
            found = api.get(f"/v1/guidelines/{guideline_id(api, parsed_args.guideline)}")
        programs = [one for one in found["programs"] if not wanted or _is_called(one, wanted)]
        if not programs:
            names = ", ".join(one["name"] for one in found["programs"])
            raise UsageError(f"guideline {found['name']} has no program {parsed_args.program!r}; its programs: {names}")
        return ("Program", "Capability", "Level", "Tests", "Description"), [
            (one["name"], each["name"], each["level"], each["tests"], each["description"])
            for one in programs
            for each in one["capabilities"]
        ]


class GuidelineDelete(Command):
    """Delete a guideline; its verdicts stay. Only operators can delete official ones."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_guideline(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.delete(f"/v1/guidelines/{guideline_id(api, parsed_args.guideline)}")


class GuidelineTests(Command):
    """Print the tests of a program, one per line: the required ones, without flagged tests.

    The list can be used with refstack-client's --test-list and with 'run create --testcases @FILE'.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_guideline(super().get_parser(prog_name))
        parser.add_argument("--program", required=True, help=_PROGRAM)
        parser.add_argument(
            "--level", default="required", help="required, advisory, deprecated, removed; separated by commas"
        )
        parser.add_argument("--aliases", action="store_true", help="include the other names of each test")
        parser.add_argument("--flagged", action="store_true", help="include flagged tests")
        parser.add_argument("--format", choices=("names", "ids", "json"), default="ids", help="ids: NAME[id-UUID]")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        query = {"program": parsed_args.program, "level": parsed_args.level}
        with Api(access_of(self.app.options)) as api:
            found = api.get(f"/v1/guidelines/{guideline_id(api, parsed_args.guideline)}/tests", query)
        tests = [test for test in found["tests"] if parsed_args.flagged or not test["flagged"]]
        if parsed_args.format == "json":
            self.app.stdout.write(json.dumps(tests, indent=1) + "\n")
            return
        for test in tests:
            for name in (test["name"], *(test["aliases"] if parsed_args.aliases else ())):
                has_id = parsed_args.format == "ids" and test["uuid"]
                self.app.stdout.write(f"{name}[id-{test['uuid']}]\n" if has_id else f"{name}\n")


def _with_guideline(parser: Any) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = parser
    found.add_argument("guideline", help="name, e.g. 2020.06, or id")
    return found


def _is_called(program: dict[str, Any], wanted: str) -> bool:
    name = program["name"].casefold()
    return wanted in (name, program["target"]) or bool(name.endswith(f" {wanted}"))


def _text(path: Path) -> str:
    try:
        return text_lists.decode(read_limited(path, MAX_GUIDELINE_BYTES), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
