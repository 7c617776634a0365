"""``refstack-queue token …`` and ``whoami``: API tokens, your own and for operators everybody's."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import Calls, operator_api
from refstack_worker.cli.queue.durations import seconds_of
from refstack_worker.cli.queue.names import token_id, user_id
from refstack_worker.cli.queue.records import Columns, Rows
from refstack_worker.contract.scopes import OPERATOR, READ, SCOPES, VENDOR
from refstack_worker.errors import UsageError

_OWN = "/v1/me/tokens"
_ALL = "/v1/tokens"
_SHOWN = ("id", "name", "scopes", "token", "expires")


class WhoAmI(ShowOne):
    """Show the owner and scope of your token."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with operator_api(self.app) as api:
            me = api.get("/v1/me")
        user = me["user"] or {}
        shown = {
            "token": me["token"],
            "scopes": " ".join(me["scopes"]),
            "user": user.get("name"),
            "email": user.get("email"),
            "vendor_id": user.get("vendor_id"),
        }
        return tuple(shown), tuple(shown.values())


class TokenCreate(ShowOne):
    """Create an API token. Its secret is shown only once.

    With a vendor's token, you can create more tokens for yourself. Operators create them for any user.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", help="what it is for, e.g. 'CI pipeline'")
        parser.add_argument(
            "--scope",
            choices=SCOPES,
            default=VENDOR,
            help="operator: everything; vendor (default): the runs of the user's vendor; read: read-only",
        )
        parser.add_argument("--read-only", action="store_true", help="read-only token, e.g. for Prometheus")
        parser.add_argument("--user", metavar="USER", help="owner: name, e-mail address or id (operators)")
        parser.add_argument(
            "--expires",
            type=seconds_of,
            default=0,
            metavar="30d",
            help="time until it expires, e.g. 90d; default: never, or with your own token",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        if not set(parsed_args.columns or _SHOWN) & set(_SHOWN):
            # found out afterwards, the secret would be lost
            raise UsageError(f"-c: available columns: {', '.join(_SHOWN)}")
        scope = parsed_args.scope
        expiry = {"expires_in": parsed_args.expires} if parsed_args.expires else {}
        with operator_api(self.app) as api:
            if _is_operator(api):
                if scope == VENDOR and parsed_args.user is None:
                    raise UsageError("--user: a vendor's token belongs to a user; for all runs use --scope operator")
                user = user_id(api, parsed_args.user) if parsed_args.user else None
                scopes = [VENDOR, READ] if scope == READ and user is not None else [scope]
                scopes = sorted({*scopes, READ}) if parsed_args.read_only else scopes
                body: dict[str, Any] = {"name": parsed_args.name, "scopes": scopes, "user_id": user, **expiry}
                made = api.post(_ALL, body)
            else:
                if scope == OPERATOR or parsed_args.user:
                    raise UsageError("--scope operator, --user: only an operator can create such a token")
                scope = READ if parsed_args.read_only else scope
                made = api.post(_OWN, {"name": parsed_args.name, "scope": scope, **expiry})
        return _SHOWN, (made["id"], made["name"], " ".join(made["scopes"]), made["token"], made["expires_at"])


class TokenList(Lister):
    """List your API tokens (operators: all). Secrets are not stored."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with operator_api(self.app) as api:
            rows = [
                (
                    one["id"],
                    one["name"],
                    " ".join(one["scopes"]),
                    one["user_id"] or "",
                    one["state"],
                    one["last_used_at"],
                )
                for one in api.get(_OWN)["tokens"]
            ]
        return ("Id", "Name", "Scopes", "User", "State", "Last used"), rows


class TokenRevoke(Command):
    """Permanently revoke an API token and all tokens created with it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("token", help="id or name, as 'token list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            number = token_id(api, _OWN, parsed_args.token)
            api.delete(f"{_OWN}/{number}")
        self.app.stdout.write(f"token {number} is revoked, with all that were created with it\n")


class TokenDelete(Command):
    """Remove a revoked or expired token from the list (for operators)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="as 'token list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.delete(f"/v1/tokens/{parsed_args.id}/record")


def _is_operator(api: Calls) -> bool:
    return OPERATOR in api.get("/v1/me")["scopes"]
