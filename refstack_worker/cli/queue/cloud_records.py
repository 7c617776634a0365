"""``refstack-queue cloud show``, ``cloud delete`` and ``cloud history``: what the server knows of a cloud."""

from __future__ import annotations

import argparse

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.clouds import cloud_columns, with_cloud
from refstack_worker.cli.queue.names import cloud_id
from refstack_worker.cli.queue.records import Columns, Rows


class CloudShow(ShowOne):
    """Show a cloud and its last check."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_cloud(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            return cloud_columns(api.get(f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}"))


class CloudDelete(Command):
    """Delete a cloud; with --with-runs its runs, too."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_cloud(super().get_parser(prog_name))
        parser.add_argument(
            "--with-runs", action="store_true", help="delete its runs and results, too; none may be pinned or open"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            query = "?runs=yes" if parsed_args.with_runs else ""
            api.delete(f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}{query}")


class CloudHistory(Lister):
    """List the latest runs of a cloud that have a result, oldest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_cloud(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        names = ("test_id", "label", "passed", "failed", "seconds", "ended_at")
        with Api(access_of(self.app.options)) as api:
            found = api.get(f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}/history")["runs"]
        return ("Run", "Label", "Passed", "Failed", "Seconds", "Ended"), [
            tuple(row[name] for name in names) for row in found
        ]
