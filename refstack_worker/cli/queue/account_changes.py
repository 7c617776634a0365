"""``refstack-queue vendor …`` and ``user …``: change, disable, hand over, remove (for operators)."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import Calls, operator_api
from refstack_worker.cli.queue.names import user_id, vendor_id
from refstack_worker.cli.queue.records import Columns, plain_columns
from refstack_worker.errors import UsageError

SERVER_LIMIT = "server"
"""Word for a vendor without a limit of its own."""


def _vendor(api: Calls, word: str) -> str:
    return f"/v1/vendors/{vendor_id(api, word)}"


def _user(api: Calls, word: str) -> str:
    return f"/v1/users/{user_id(api, word)}"


class VendorUpdate(ShowOne):
    """Change a vendor's name, contact or limit of open runs (for operators)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("vendor", help="name or id")
        parser.add_argument("--name")
        parser.add_argument("--contact-name")
        parser.add_argument("--contact-email")
        parser.add_argument(
            "--max-open-runs",
            metavar="N",
            help=f"runs that may wait or run at a time; 0: no limit; {SERVER_LIMIT}: as MAX_OPEN_RUNS says",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = _given(parsed_args, "name", "contact_name", "contact_email")
        if parsed_args.max_open_runs is not None:
            body["max_open_runs"] = _limit(parsed_args.max_open_runs)
        with operator_api(self.app) as api:
            return plain_columns(api.put(_vendor(api, parsed_args.vendor), body))


class _OfVendor(Command):
    """A command about one vendor."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("vendor", help="name or id")
        return parser


class VendorDisable(_OfVendor):
    """Disable a vendor: its users' tokens are refused, schedules and notifications pause, running runs continue."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.put(_vendor(api, parsed_args.vendor), {"disabled": True})


class VendorEnable(_OfVendor):
    """Enable a disabled vendor and its users again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.put(_vendor(api, parsed_args.vendor), {"disabled": False})


class VendorDelete(_OfVendor):
    """Remove a vendor that has no users."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.delete(_vendor(api, parsed_args.vendor))


class UserUpdate(ShowOne):
    """Change a user's name or e-mail address, or move the user to another vendor (for operators)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("user", help="name, e-mail address or id")
        parser.add_argument("--name")
        parser.add_argument("--email")
        parser.add_argument("--vendor", metavar="VENDOR", help="name or id; the user's runs and clouds move too")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = _given(parsed_args, "name", "email")
        with operator_api(self.app) as api:
            if parsed_args.vendor is not None:
                body["vendor_id"] = vendor_id(api, parsed_args.vendor)
            return plain_columns(api.put(_user(api, parsed_args.user), body))


class _OfUser(Command):
    """A command about one user."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("user", help="name, e-mail address or id")
        return parser


class UserDisable(_OfUser):
    """Disable a user: tokens are refused, schedules and notifications pause, running runs continue."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.put(_user(api, parsed_args.user), {"disabled": True})


class UserEnable(_OfUser):
    """Enable a disabled user again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.put(_user(api, parsed_args.user), {"disabled": False})


class UserTransfer(_OfUser):
    """Transfer a user's runs, clouds, guidelines, schedules and notifications to another user."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("to", help="name, e-mail address or id of the other user")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            path = f"{_user(api, parsed_args.user)}/transfer"
            api.post(path, {"to_user_id": user_id(api, parsed_args.to)})


class UserDelete(_OfUser):
    """Remove a user and their tokens. What the user owns must be transferred first ('user transfer')."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.delete(_user(api, parsed_args.user))


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _limit(text: str) -> int | None:
    if text == SERVER_LIMIT:
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--max-open-runs: a number, or {SERVER_LIMIT!r}, is expected")
    return int(text)
