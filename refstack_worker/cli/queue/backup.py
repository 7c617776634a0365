"""``refstack-queue backup …``: the whole server in one file, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from cliff.show import ShowOne

from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.records import Columns
from refstack_worker.server.db import backup, migrate
from refstack_worker.server.db.backup import BackupManifest
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.restoring import Settled
from refstack_worker.version import software_version


class BackupCreate(ShowOne):
    """Save the ledger, the results and the keys to one file; runs continue meanwhile.

    The file holds all secrets of the server, and only its owner can read it. Nothing of gearmand's is in it: the ledger
    gives the queue everything again.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path, help="new file, e.g. /srv/backup/refstack-2026-11-26.tar.gz")
        parser.add_argument(
            "--without-keys", action="store_true", help="only the database; keep the keys elsewhere then"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        settings = settings_of(self.app)
        files = [] if parsed_args.without_keys else backup.key_paths(settings.keys, [settings.outbound.upload_key])
        with open_ledger(settings) as ledger:
            made = backup.create(ledger.database, parsed_args.file, files, software_version())
        return _shown(parsed_args.file, made)


class BackupShow(ShowOne):
    """Check every file of a backup and show its contents."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with backup.opened(parsed_args.file) as (_, manifest):
            return _shown(parsed_args.file, manifest)


class BackupRestore(ShowOne):
    """Restore a backup to the database that refstack.cfg names (SQLite or PostgreSQL), with missing key files.

    Stop the API and the monitor first. The queue is paused afterwards: look at it, then 'refstack-queue resume'.
    Runs that waited get a new attempt; jobs that gearmand still has for the old ones are refused. Runs claimed by
    a node continue if the node still has them; otherwise they end as lost and are not restarted. Schedules go on at
    their next time, and messages that waited are not sent: the runs may have been started and the messages sent after
    the backup.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path)
        parser.add_argument("--replace", action="store_true", help="delete what the database holds now")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        settings = settings_of(self.app)
        with backup.opened(parsed_args.file) as (folder, manifest), open_ledger(settings) as ledger:
            keys = backup.restore(ledger.database, folder, manifest, settings.keys, parsed_args.replace)
            settled = _settled(ledger, f"restored from the backup of {manifest.made_at}")
        columns, values = _shown(parsed_args.file, manifest)
        more = {"keys": "\n".join(map(str, keys)), **_report(settled)}
        return (*columns, *more), (*values, *more.values())


class BackupSettle(ShowOne):
    """After restoring the database with its own tools, bring it in line with queue and nodes, which kept running.

    Do it once, before the services start. 'backup restore' does the same.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with open_ledger(settings_of(self.app)) as ledger:
            migrate.check(ledger.database)
            settled = _settled(ledger, "restored from a backup")
        report = _report(settled)
        return tuple(report), tuple(report.values())


def _settled(ledger: Ledger, reason: str) -> Settled:
    ledger.queue.pause("refstack-queue backup", reason)
    return ledger.restoring.settle()


def _report(settled: Settled) -> dict[str, int]:
    return {
        "queued again": settled.queued,
        "held by nodes": settled.held,
        "schedules moved on": settled.schedules,
        "messages not sent": settled.messages,
    }


def _shown(file: Path, manifest: BackupManifest) -> Columns:
    rows = {"runs": "queue_run", "results": "queue_result", "users": "user"}
    facts = {
        "file": str(file),
        "made at": manifest.made_at,
        "software": manifest.software,
        "revision": manifest.revision,
        **{name: manifest.rows.get(table, 0) for name, table in rows.items()},
        "keys in it": " ".join(sorted(name.partition("/")[2] for name in manifest.files if name.startswith("keys/"))),
    }
    return tuple(facts), tuple(facts.values())
