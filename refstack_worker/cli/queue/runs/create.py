"""``refstack-queue run create``: start a run, check one, or start it and watch it."""

from __future__ import annotations

import argparse
import logging
import uuid
from typing import Any

from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.names import cloud_id
from refstack_worker.cli.queue.records import Columns
from refstack_worker.cli.queue.runs.commands import started_run
from refstack_worker.cli.queue.runs.options import add_run_options, body_of
from refstack_worker.cli.queue.runs.values import Warnings
from refstack_worker.cli.queue.runs.watch import Watcher

LOG = logging.getLogger(__name__)


class RunCreate(ShowOne):
    """Start a run. It is queued until a node is free.

    With --watch the page's URL is printed, and progress until it ends; the exit status is that of 'run watch'.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_run_options(parser)
        parser.add_argument(
            "--idempotency-key",
            default="",
            metavar="KEY",
            help="with the same key and options, a second call returns the run that the first one started",
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--check", action="store_true", help="only check for likely problems; do not start the run")
        how.add_argument("--watch", action="store_true", help="print the page's URL and watch the run")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Start the run, and watch it if that is asked for."""
        if not parsed_args.watch:
            return int(super().run(parsed_args) or 0)
        with Api(access_of(self.app.options)) as api:
            created = self._create(api, parsed_args)
            self.app.stdout.write(f"run {created['test_id']}: {created['url']}\n")
            self.app.stdout.flush()
            return Watcher(api, self.app.stdout).watch(created["test_id"])

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            if parsed_args.check:
                found = api.post("/v1/runs/check", _body(api, parsed_args))
                return ("outlook", "warnings"), (found["outlook"], Warnings(found["warnings"]))
            return started_run(api, self._create(api, parsed_args), parsed_args)

    def _create(self, api: Api, parsed_args: argparse.Namespace) -> dict[str, Any]:
        key = parsed_args.idempotency_key or uuid.uuid4().hex
        created: dict[str, Any] = api.post("/v1/runs", _body(api, parsed_args), key=key)
        for warning in created.get("warnings", ()):
            LOG.warning("%s", warning)
        return created


def _body(api: Api, options: argparse.Namespace) -> dict[str, Any]:
    named = {"cloud_id": cloud_id(api, options.cloud)} if options.cloud else {}
    return {**body_of(options), **named}
