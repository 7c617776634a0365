"""``refstack-queue run pin`` and ``run unpin``: keep a run however old it gets."""

from __future__ import annotations

import argparse

from cliff.command import Command

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.runs.commands import with_id


class RunPin(Command):
    """Keep a run that has ended, and its result, regardless of age; it cannot be deleted until 'run unpin'."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.put(f"/v1/runs/{parsed_args.id}/pin", {})


class RunUnpin(Command):
    """Unpin a run: the server removes it with other old runs."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.delete(f"/v1/runs/{parsed_args.id}/pin")
