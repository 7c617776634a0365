"""``refstack-queue guideline …``: what interop programs require."""

from __future__ import annotations

import argparse
from pathlib import Path

from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns
from refstack_worker.errors import UsageError


class GuidelineList(Lister):
    """List guidelines and their programs."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask."""
        rows = []
        with Api(access_of(self.app.options)) as api:
            for one in api.get("/v1/guidelines")["guidelines"]:
                programs = api.get(f"/v1/guidelines/{one['id']}")["programs"]
                rows += [(one["id"], one["name"], program["name"], program["required"]) for program in programs]
        return ("Id", "Guideline", "Program", "Required tests"), rows


class GuidelineAdd(ShowOne):
    """Add an interop guideline, from a file or from an address that the operator allows."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("source", help="file or https:// address")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Send it."""
        source: str = parsed_args.source
        body = {"url": source} if source.startswith(("http://", "https://")) else {"text": _text(Path(source))}
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.post("/v1/guidelines", body))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
