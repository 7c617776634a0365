"""``refstack-queue audit list``, ``announcement show`` and ``announcement set``: for operators."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import Calls, operator_api
from refstack_worker.cli.queue.numbers import count
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns

_PAGE = 1000
_NOTICE = "/v1/announcement"


class AuditList(Lister):
    """List the audit log, newest first: who changed what, when, and from where ('-f csv' exports it)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--limit", type=count, default=100, help="default: 100; 0: all")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        names = ("id", "at", "actor", "address", "action", "target")
        with operator_api(self.app) as api:
            rows = [tuple(entry[name] for name in names) for entry in _entries(api, parsed_args.limit)]
        return ("Id", "Time", "Who", "From", "Action", "What"), rows


class ShowVersions(ShowOne):
    """Show the versions of the server, its database, libraries and nodes."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with operator_api(self.app) as api:
            found = api.get("/v1/about")
        database = f"{found['database']['kind']}, revision {found['database']['revision']}"
        rows = {"software": found["software"], "database": database}
        if "python" in found:
            rows["python"] = found["python"]
            rows.update({f"library {name}": version for name, version in found["libraries"].items()})
            rows.update({f"nodes with {name or '?'}": count for name, count in found["nodes"].items()})
        return tuple(rows), tuple(rows.values())


class AnnouncementShow(ShowOne):
    """Show the announcement of the operators."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with operator_api(self.app) as api:
            return plain_columns(api.get(_NOTICE))


class AnnouncementSet(Command):
    """Show a text on every page; an empty text ('') removes it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("text")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.put(_NOTICE, {"text": parsed_args.text})


def _entries(api: Calls, limit: int) -> Iterator[dict[str, Any]]:
    left: float = limit or float("inf")
    before = 0
    while left > 0:
        asked = {"limit": int(min(left, _PAGE)), **({"before": before} if before else {})}
        page = api.get("/v1/audit", asked)
        yield from page["entries"]
        left -= len(page["entries"])
        if page["next_before"] is None:
            return
        before = page["next_before"]
