"""``refstack-queue run share``, ``run unshare`` and ``run shares``: let another vendor look at a run."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.lister import Lister

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Rows
from refstack_worker.cli.queue.runs.commands import with_id
from refstack_worker.errors import NotFoundError


class RunShare(Command):
    """Share a run with another vendor."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_vendor(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.post(f"/v1/runs/{parsed_args.id}/shares", _vendor(parsed_args.vendor))


class RunUnshare(Command):
    """Stop sharing a run with a vendor."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_vendor(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            shared = api.get(f"/v1/runs/{parsed_args.id}/shares")["shares"]
            wanted = parsed_args.vendor.casefold()
            ids = [one["id"] for one in shared if wanted in (one["name"].casefold(), str(one["id"]))]
            if not ids:
                raise NotFoundError(f"run {parsed_args.id} is not shared with {parsed_args.vendor!r} ('run shares')")
            for vendor_id in ids:
                api.delete(f"/v1/runs/{parsed_args.id}/shares/{vendor_id}")


class RunShares(Lister):
    """List the vendors with whom a run is shared."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            shared = api.get(f"/v1/runs/{parsed_args.id}/shares")["shares"]
        return ("Id", "Vendor"), [(one["id"], one["name"]) for one in shared]


def _with_vendor(parser: Any) -> argparse.ArgumentParser:
    found = with_id(parser)
    found.add_argument("vendor", help="name of the vendor; or its id, for operators or if you share a run with it")
    return found


def _vendor(word: str) -> dict[str, Any]:
    is_id = word.isascii() and word.isdigit() and len(word) < 10
    return {"vendor_id": int(word)} if is_id else {"vendor": word}
