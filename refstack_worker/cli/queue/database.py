"""``refstack-queue db …``: the revision of the database, and old runs."""

from __future__ import annotations

import argparse

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.queue.durations import seconds_of
from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.records import Columns
from refstack_worker.errors import UsageError
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.db import migrate


class DbUpgrade(Command):
    """Upgrade the database to the revision of this software.

    RefStack's own tables are created only if there are none.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.upgrade()
            self.app.stdout.write(f"{migrate.current(ledger.database)}\n")


class DbDowngrade(Command):
    """Downgrade the database to an older revision. Data that the older revision cannot hold is lost."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("revision", help="revision to go back to, or 'base': remove the queue's tables")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            migrate.downgrade(ledger.database, parsed_args.revision)


class DbPrune(ShowOne):
    """Remove runs that ended long ago, with their results, messages and attempts, and old results without a run.

    Clouds and guidelines stay.
    The monitor does the same once an hour if RETENTION_DAYS is set.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--older-than",
            type=seconds_of,
            metavar="90d",
            help="time since the run ended, e.g. 90d; default: RETENTION_DAYS",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Remove them, some at a time."""
        settings = settings_of(self.app)
        seconds = parsed_args.older_than or settings.rules.retention_seconds
        if not seconds:
            raise UsageError("give --older-than (e.g. 90d), or set RETENTION_DAYS in refstack.cfg")
        with open_ledger(settings) as ledger:
            migrate.check(ledger.database)
            before = ledger.clock() - seconds
            found = ledger.retention.count(before)
            if parsed_args.dry_run:
                return ("ended before", "would be removed"), (iso(before), found)
            while ledger.retention.prune(before):
                pass
            left = ledger.retention.count(before)
        return ("ended before", "removed", "left"), (iso(before), found - left, left)


class DbVersion(ShowOne):
    """Show the database's revision and the one that this software needs."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with open_ledger(settings_of(self.app)) as ledger:
            return ("database", "software"), (migrate.current(ledger.database) or "none", migrate.newest())
