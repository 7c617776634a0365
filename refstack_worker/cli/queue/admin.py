"""``refstack-queue`` for operators, where ``refstack.cfg`` is: database, keys, pause, status, nodes, tokens."""

from __future__ import annotations

import argparse
import getpass
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.common import open_ledger, settings_of
from refstack_worker.cli.queue.standalone_files import make_keys
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import keys
from refstack_worker.contract.states import RunState
from refstack_worker.errors import KeyFileError, QueueError, UsageError
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.auth import SCOPES, VENDOR
from refstack_worker.server.db import migrate
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.queue.client import QueueClient

Columns = tuple[Sequence[str], Sequence[Any]]
Rows = tuple[Sequence[str], Iterable[Sequence[Any]]]

UNITS = {"m": 60, "h": 3600, "d": 86400}
MAX_RUNS = 1000
SILENT_SECONDS = 120.0
"""After which a node is shown as silent; nodes speak every 30 s."""


class DbUpgrade(Command):
    """Bring the database to the revision of this software; RefStack's own tables are made only if there are none."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Migrate."""
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.upgrade()
            self.app.stdout.write(f"{migrate.current(ledger.database)}\n")


class DbDowngrade(Command):
    """Take the database back to an older revision. What only newer revisions can hold is lost."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("revision", help="revision to go back to, or 'base': remove the queue's tables")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Migrate."""
        with open_ledger(settings_of(self.app)) as ledger:
            migrate.downgrade(ledger.database, parsed_args.revision)


class DbPrune(ShowOne):
    """Remove runs that ended long ago, with their results, messages and attempts, and old results without a run.

    Clouds and guidelines stay.
    The monitor does the same once an hour where RETENTION_DAYS is set.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--older-than", type=seconds_of, metavar="90d", help="since its end; default: RETENTION_DAYS"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Remove them, some at a time."""
        settings = settings_of(self.app)
        seconds = parsed_args.older_than or settings.rules.retention_seconds
        if not seconds:
            raise UsageError("--older-than: say how old (as 90d); refstack.cfg sets no RETENTION_DAYS")
        before = time.time() - seconds
        with open_ledger(settings) as ledger:
            migrate.check(ledger.database)
            found = ledger.retention.count(before)
            while not parsed_args.dry_run and ledger.retention.prune(before):
                pass
            left = ledger.retention.count(before)
        return ("ended before", "removed", "left"), (iso(before), found - left, left)


class DbVersion(ShowOne):
    """Show the database's revision and the one that this software needs."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Ask."""
        with open_ledger(settings_of(self.app)) as ledger:
            return ("database", "software"), (migrate.current(ledger.database) or "none", migrate.newest())


class KeysGenerate(ShowOne):
    """Make the keys that are missing: sign (server), fleet (nodes), store (ledger).

    sign.pub and fleet.key go to every node; sign.key and store.key never leave the server.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "folder", type=Path, nargs="?", help="made if it is not there; default: KEY_FOLDER of refstack.cfg"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Make them; what is there stays."""
        made = make_keys(parsed_args.folder or _key_folder(settings_of(self.app)))
        return tuple(made), tuple(made.values())


class KeysRotate(ShowOne):
    """Put a new key pair in front; the old ones stay valid until their lines are removed from the files.

    The new public half (sign) or private half (fleet) has to be on every node before the server uses the pair: copy
    the .pub (sign) or .key (fleet) file to the nodes, restart them, and only then copy the other half to the server.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("key", choices=("sign", "fleet", "store"))
        parser.add_argument("folder", type=Path, help="folder with KEY.key and KEY.pub")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Rotate."""
        private, public = (parsed_args.folder / f"{parsed_args.key}.{end}" for end in ("key", "pub"))
        if not private.exists() or not public.exists():
            raise KeyFileError(f"{private}, {public}: not there; 'refstack-queue keys generate' makes them")
        made = keys.generate_pair("sign" if parsed_args.key == "sign" else "seal", private, public)
        return ("key", "id"), (parsed_args.key, made)


class KeysShow(Lister):
    """List the ids of the keys in refstack.cfg's files, the one in use first. No key itself is shown."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Read the files."""
        files = settings_of(self.app).keys
        read: Sequence[tuple[str, Path, keys.Keyring[Any]]] = (
            ("sign", files.sign, keys.load_sign_private(files.sign)),
            ("fleet", files.fleet, keys.load_seal_public(files.fleet)),
            ("store", files.store, keys.load_seal_private(files.store)),
        )
        rows = [
            (name, key_id, "still valid" if number else "in use", str(path))
            for name, path, ring in read
            for number, (key_id, _key) in enumerate(ring.keys)
        ]
        return ("Key", "Id", "State", "File"), rows


class PauseQueue(Command):
    """Give no more runs to workers; what they hold goes on. Runs are still recorded."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Switch."""
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.queue.pause(getpass.getuser())


class ResumeQueue(Command):
    """Give runs to workers again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Switch, and hand out at once what has waited."""
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.queue.resume(getpass.getuser())


class QueueStatus(ShowOne):
    """Show the state of the whole queue: database, Gearman servers, runs that wait or are held, nodes.

    The exit status is 7 when no Gearman server answers.
    """

    _is_queue_away = False

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show it, and tell scripts too when there is no queue."""
        result = int(super().run(parsed_args) or 0)
        return QueueError.exit_code if self._is_queue_away else result

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Ask ledger and queue."""
        settings = settings_of(self.app)
        with open_ledger(settings) as ledger:
            states = Counter(
                run.state.value for run in ledger.runs.find(RunQuery(states=_open_states(), limit=MAX_RUNS))
            )
            nodes = [node for node in ledger.nodes.all() if time.time() - node.seen_at < SILENT_SECONDS]
            shown: dict[str, Any] = {
                "database": migrate.current(ledger.database) or "none: run 'refstack-queue db upgrade'",
                "paused": ledger.queue.is_paused(),
                **{state.value: states[state.value] for state in _open_states()},
                "nodes": len(nodes),
                "slots": sum(node.slots for node in nodes),
            }
        client = QueueClient(settings)
        try:
            servers = client.servers()
            self._is_queue_away = all(servers.values())
            shown.update({f"gearman {name}": trouble or "answers" for name, trouble in servers.items()})
            shown["functions"] = _functions(client)
        finally:
            client.close()
        return tuple(shown), tuple(shown.values())


class WorkerList(Lister):
    """List the nodes: what they can build, how busy they are, when they were last heard of."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask the ledger."""
        with open_ledger(settings_of(self.app)) as ledger:
            nodes = ledger.nodes.all()
        now = time.time()
        rows = [
            (
                node.name,
                node.state if now - node.seen_at < SILENT_SECONDS else "silent",
                node.slots,
                node.busy,
                " ".join(node.versions),
                " ".join(node.tags),
                round(now - node.seen_at, 1),
                node.software,
            )
            for node in nodes
        ]
        return ("Node", "State", "Slots", "Busy", "Versions", "Tags", "Heard s ago", "Software"), rows


class TokenCreate(ShowOne):
    """Make an API token. Its secret is shown this once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", help="whose it is, for people")
        parser.add_argument(
            "--scope",
            choices=SCOPES,
            default=VENDOR,
            help="operator: everything; vendor (default): the user's own runs",
        )
        parser.add_argument("--user", type=int, metavar="ID", help="id of RefStack's user; needed for a vendor's token")
        parser.add_argument("--expires", type=seconds_of, default=0, metavar="30d", help="default: never")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Make it."""
        if parsed_args.scope == VENDOR and parsed_args.user is None:
            raise UsageError("--user: a vendor's token belongs to a user of RefStack; for all runs: --scope operator")
        expires = time.time() + parsed_args.expires if parsed_args.expires else 0.0
        with open_ledger(settings_of(self.app)) as ledger:
            made, secret = ledger.tokens.add(parsed_args.name, [parsed_args.scope], parsed_args.user, expires)
        return ("id", "name", "scopes", "token"), (made.id, made.name, " ".join(made.scopes), secret)


class TokenList(Lister):
    """List the API tokens; their secrets are kept nowhere."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask the ledger."""
        with open_ledger(settings_of(self.app)) as ledger:
            rows = [
                (one.id, one.name, " ".join(one.scopes), one.user_id or "", _ended(one.revoked_at, one.expires_at))
                for one in ledger.tokens.all()
            ]
        return ("Id", "Name", "Scopes", "User", "State"), rows


class TokenRevoke(Command):
    """End an API token for good."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="as 'token list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Revoke."""
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.tokens.revoke(parsed_args.id)


def seconds_of(text: str) -> int:
    """Return the seconds in ``90m``, ``12h``, ``30d``. :raises UsageError: it is none of these."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if not found:
        raise UsageError(f"{text!r}: a time is written 90m, 12h or 30d")
    return int(found[1]) * UNITS[found[2]]


def _key_folder(settings: ServerSettings) -> Path:
    files = settings.keys
    folders = {file.parent for file in (files.sign, files.fleet, files.store)}
    if len(folders) > 1:
        raise UsageError("folder: refstack.cfg has its keys in several (…_KEY_FILE); say which one is meant")
    return folders.pop()


def _open_states() -> tuple[RunState, ...]:
    return tuple(state for state in RunState if not state.is_end)


def _functions(client: QueueClient) -> str:
    try:
        found = client.functions().values()
    except QueueError:
        return "not known"
    return "; ".join(f"{one.name}: {one.workers} workers, {one.jobs} jobs" for one in sorted(found, key=str)) or "none"


def _ended(revoked_at: float, expires_at: float) -> str:
    if revoked_at:
        return "revoked"
    if expires_at and expires_at <= time.time():
        return "expired"
    return "good"
