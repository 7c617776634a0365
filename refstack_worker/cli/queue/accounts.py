"""``refstack-queue vendor …`` and ``user …``: the accounts of the server."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import operator_api
from refstack_worker.cli.queue.names import user_id, vendor_id
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns


class VendorList(Lister):
    """List the vendors (for operators)."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with operator_api(self.app) as api:
            found = api.get("/v1/vendors")["vendors"]
        return ("Id", "Name", "Contact"), [(one["id"], one["name"], one["contact_email"]) for one in found]


class VendorCreate(ShowOne):
    """Add a vendor (for operators)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name")
        parser.add_argument("--contact-name", default="")
        parser.add_argument("--contact-email", default="")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        names = ("name", "contact_name", "contact_email")
        with operator_api(self.app) as api:
            return plain_columns(api.post("/v1/vendors", {name: getattr(parsed_args, name) for name in names}))


class UserList(Lister):
    """List the users (for operators)."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with operator_api(self.app) as api:
            found = api.get("/v1/users")["users"]
        return ("Id", "Name", "Email", "Vendor"), [
            (one["id"], one["name"], one["email"], one["vendor_id"]) for one in found
        ]


class UserCreate(ShowOne):
    """Add a user of a vendor (for operators); 'token create --user NAME' gives them a token."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name")
        parser.add_argument(
            "--email", default="", help="e-mail address; a sign-in by OpenID Connect recognises the user by it"
        )
        parser.add_argument("--vendor", metavar="VENDOR", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body: dict[str, Any] = {"name": parsed_args.name, "email": parsed_args.email}
        with operator_api(self.app) as api:
            if parsed_args.vendor is not None:
                body["vendor_id"] = vendor_id(api, parsed_args.vendor)
            return plain_columns(api.post("/v1/users", body))


class UserInvite(ShowOne):
    """Invite a user to sign in by OpenID Connect (for operators). The URL works once and is shown only once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("user", help="name, e-mail address or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with operator_api(self.app) as api:
            return plain_columns(api.post(f"/v1/users/{user_id(api, parsed_args.user)}/invitations"))


class UserForgetIdentity(Command):
    """Forget who a user is at the OpenID Connect provider (for operators); the next sign-in sets it again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("user", help="name, e-mail address or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.delete(f"/v1/users/{user_id(api, parsed_args.user)}/identities")
