"""``refstack-queue vendor …`` and ``user …``: the accounts of the server."""

from __future__ import annotations

import argparse

from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns


class VendorList(Lister):
    """List the vendors (for operators)."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
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
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.post("/v1/vendors", {name: getattr(parsed_args, name) for name in names}))


class UserList(Lister):
    """List the users (for operators)."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/users")["users"]
        return ("Id", "Name", "Email", "Vendor"), [
            (one["id"], one["name"], one["email"], one["vendor_id"]) for one in found
        ]


class UserCreate(ShowOne):
    """Enter a user of a vendor (operators); 'token create --user ID' gives them a token."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name")
        parser.add_argument("--email", default="")
        parser.add_argument("--vendor", type=int, metavar="ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = {"name": parsed_args.name, "email": parsed_args.email}
        if parsed_args.vendor is not None:
            body["vendor_id"] = parsed_args.vendor
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.post("/v1/users", body))
