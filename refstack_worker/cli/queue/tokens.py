"""``refstack-queue token …``: the API tokens."""

from __future__ import annotations

import argparse

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.durations import seconds_of
from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.records import Columns, Rows
from refstack_worker.errors import UsageError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.services.callers import READ, SCOPES, VENDOR


class TokenCreate(ShowOne):
    """Make an API token. Its secret is shown this once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", help="whose it is, for people")
        parser.add_argument(
            "--scope",
            choices=SCOPES,
            default=VENDOR,
            help="operator: everything; vendor (default): the user's own runs",
        )
        parser.add_argument("--read-only", action="store_true", help="a token that changes nothing, as for Prometheus")
        parser.add_argument("--user", type=int, metavar="ID", help="id of RefStack's user; needed for a vendor's token")
        parser.add_argument("--expires", type=seconds_of, default=0, metavar="30d", help="default: never")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        if parsed_args.scope == VENDOR and parsed_args.user is None:
            raise UsageError("--user: a vendor's token belongs to a user of RefStack; for all runs: --scope operator")
        scopes = [parsed_args.scope, *([READ] if parsed_args.read_only else [])]
        with open_ledger(settings_of(self.app)) as ledger:
            expires = ledger.clock() + parsed_args.expires if parsed_args.expires else 0.0
            made, secret = ledger.tokens.add(parsed_args.name, scopes, parsed_args.user, expires)
        return ("id", "name", "scopes", "token"), (made.id, made.name, " ".join(made.scopes), secret)


class TokenList(Lister):
    """List the API tokens; their secrets are kept nowhere."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with open_ledger(settings_of(self.app)) as ledger:
            rows = [
                (one.id, one.name, " ".join(one.scopes), one.user_id or "", _ended(one, ledger.clock()))
                for one in ledger.tokens.all()
            ]
        return ("Id", "Name", "Scopes", "User", "State"), rows


class TokenRevoke(Command):
    """End an API token for good."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="as 'token list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.tokens.revoke(parsed_args.id)


def _ended(token: Token, now: float) -> str:
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at and token.expires_at <= now else "good"
