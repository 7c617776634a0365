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
from refstack_worker.server.db import copy_rows, migrate
from refstack_worker.server.db.database import Database


class DbUpgrade(Command):
    """Upgrade the database to the revision of this software.

    RefStack's own tables are created only if there are none.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.upgrade()
            self.app.stdout.write(f"{migrate.current(ledger.database)}\n")


class DbDowngrade(Command):
    """Downgrade the database to an older revision, and show it.

    Data that the older revision cannot hold is lost. RefStack's own tables stay as they are.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("revision", help="revision to go back to, or 'base': remove the queue's tables")
        parser.add_argument("--delete-data", action="store_true", help="delete what the older revision cannot hold")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            if not parsed_args.delete_data:
                _need_no_data(ledger.database)
            migrate.downgrade(ledger.database, parsed_args.revision)
            self.app.stdout.write(f"{migrate.current(ledger.database) or 'none'}\n")


def _need_no_data(database: Database) -> None:
    with database.reading() as connection:
        found = copy_rows.contents(connection)
    own = {name: rows for name, rows in found.items() if name.startswith(copy_rows.PREFIX)}
    if own:
        raise UsageError(
            f"the queue's tables have {copy_rows.described(own)}, which an older revision may not hold; "
            "back them up ('refstack-queue backup create'), then repeat with --delete-data"
        )


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
