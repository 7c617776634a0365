"""``refstack-queue link …``, ``badge …`` and ``matrix``: show results without a sign-in, and the verdicts of clouds."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.names import cloud_id
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns

_HEADS = ("Id", "Program", "Created by", "Created", "Expires")


class LinkCreate(ShowOne):
    """Create a link to a run's report that needs no sign-in. The URL is shown only once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_run(super().get_parser(prog_name))
        parser.add_argument("--days", type=int, default=30, help="days until it expires; default: 30, at most 365")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.post(f"/v1/runs/{parsed_args.run}/links", {"days": parsed_args.days}))


class LinkList(Lister):
    """List the valid links to a run's report."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_run(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            return _HEADS, _rows(api.get(f"/v1/runs/{parsed_args.run}/links"))


class LinkDelete(Command):
    """Delete a link to a run's report: it stops working at once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_run(super().get_parser(prog_name))
        parser.add_argument("link", type=int, help="as 'link list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.delete(f"/v1/runs/{parsed_args.run}/links/{parsed_args.link}")


class BadgeCreate(ShowOne):
    """Create a badge (SVG) and a feed (Atom) for a cloud and a program. Their URLs are shown only once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_cloud(super().get_parser(prog_name))
        parser.add_argument("program", help="in full, or its last words (Storage)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            path = f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}/links"
            return plain_columns(api.post(path, {"program": parsed_args.program}))


class BadgeList(Lister):
    """List the badges and feeds of a cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_cloud(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            return _HEADS, _rows(api.get(f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}/links"))


class BadgeDelete(Command):
    """Delete a badge with its feed: they stop working at once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _with_cloud(super().get_parser(prog_name))
        parser.add_argument("badge", type=int, help="as 'badge list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.delete(f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}/links/{parsed_args.badge}")


class ShowMatrix(Lister):
    """List the latest verdicts of clouds by program and guideline."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/matrix")["clouds"]
        return ("Cloud", "Program", "Guideline", "Verdict", "Tests", "Run", "Time"), [
            (
                cloud["label"],
                one["program"],
                one["guideline"],
                "passed" if one["passed"] else "not passed",
                f"{one['count']}/{one['total']}",
                one["test_id"],
                one["at"],
            )
            for cloud in found
            for one in cloud["verdicts"]
        ]


def _rows(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    names = ("id", "program", "created_by", "created_at", "expires_at")
    return [tuple(one[name] for name in names) for one in found["links"]]


def _with_run(parser: Any) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = parser
    found.add_argument("run", type=int, help="id of the run")
    return found


def _with_cloud(parser: Any) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = parser
    found.add_argument("cloud", help="name or id, as 'cloud list' shows it")
    return found
