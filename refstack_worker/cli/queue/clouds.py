"""``refstack-queue cloud …``: the clouds that runs are made against."""

from __future__ import annotations

import argparse
import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns
from refstack_worker.cli.queue.runs.options import Conf, add_passwords


@dataclass(frozen=True)
class Account:
    """A user of a cloud: the role in Tempest, and where name, project and password go."""

    word: str
    """Of the command's options: ``--user`` and ``--project``, ``--alt-user``, …"""
    about: str
    field: str
    """Of a cloud in the API."""
    section: str
    """Of Tempest's options."""

    @property
    def name(self) -> str:
        """The name of the command's option."""
        return f"{self.word}user"

    @property
    def variable(self) -> str:
        """The environment variable that can hold the password."""
        return f"REFSTACK_CLOUD_{self.word.upper()}PASSWORD"


ACCOUNTS = (
    Account("", "test user", "test_user", "identity"),
    Account("alt_", "second test user", "alt_user", "identity"),
    Account("admin_", "administrator", "admin_user", "auth"),
)


class CloudList(Lister):
    """List the clouds that you can use."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/clouds")["clouds"]
        rows = [(one["id"], one["label"], one["endpoint_v3"], one["keeps_passwords"], _checked(one)) for one in found]
        return ("Id", "Label", "Keystone", "Keeps passwords", "Check"), rows


class CloudCreate(ShowOne):
    """Enter a cloud and look at it.

    Passwords come from --password-file, from REFSTACK_CLOUD_PASSWORD, REFSTACK_CLOUD_ALT_PASSWORD and
    REFSTACK_CLOUD_ADMIN_PASSWORD, or are asked for.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("label", help="a name for people")
        parser.add_argument("keystone", help="address of its Keystone, as https://cloud.example:5000/v3")
        for account in ACCOUNTS:
            option = account.word.replace("_", "-")
            parser.add_argument(f"--{option}user", default="", metavar="NAME", help=account.about)
            parser.add_argument(
                f"--{option}project", default="", metavar="NAME", help=f"project of the {account.about}"
            )
        parser.add_argument(
            "--password-file", type=Path, metavar="FILE",
            help="lines SECTION.OPTION=VALUE, as identity.password=…; readable by you alone",
        )  # fmt: skip
        parser.add_argument("--region", default="")
        parser.add_argument("--release", default="", help="OpenStack release, as 2025.1")
        parser.add_argument("--keep-password", action="store_true", help="keep passwords on the server, sealed")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body = {
            "label": parsed_args.label,
            "endpoint_v3": parsed_args.keystone,
            "region": parsed_args.region,
            "release": parsed_args.release,
            **{account.field: getattr(parsed_args, account.name) for account in ACCOUNTS},
        }
        conf = _conf(parsed_args)
        if parsed_args.keep_password:
            body["conf_json"] = conf
        with Api(access_of(self.app.options)) as api:
            made = api.post("/v1/clouds", body)
            return _cloud_columns(api.post(f"/v1/clouds/{made['id']}/check", {"conf_json": conf}))


class CheckCloud(ShowOne):
    """Look at a cloud: does Keystone answer, which services are there?

    Passwords come from the same variables as for 'cloud create'; without any, those that the server keeps are used.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        conf: Conf = {}
        for account in ACCOUNTS:
            if os.environ.get(account.variable):
                conf.setdefault(account.section, {})[f"{account.word}password"] = os.environ[account.variable]
        with Api(access_of(self.app.options)) as api:
            return _cloud_columns(api.post(f"/v1/clouds/{parsed_args.id}/check", {"conf_json": conf}))


def _conf(options: argparse.Namespace) -> Conf:
    """Return projects and passwords of the users that are named; who is not named has none."""
    conf: Conf = {}
    add_passwords(conf, options.password_file)
    for account in ACCOUNTS:
        user, project = getattr(options, account.name), getattr(options, f"{account.word}project")
        if not user:
            continue
        values = conf.setdefault(account.section, {})
        if project:
            values[f"{account.word}project_name"] = project
        if f"{account.word}password" not in values:
            password = os.environ.get(account.variable) or getpass.getpass(f"Password of {user}: ")
            values[f"{account.word}password"] = password
    return conf


def _checked(cloud: dict[str, Any]) -> str:
    check = cloud["check"]
    return f"{'good' if check['ok'] else 'not good'}: {check['said']}" if check else "not checked"


def _cloud_columns(cloud: dict[str, Any]) -> Columns:
    names, values = plain_columns(cloud)
    return ((*names, "check"), (*values, _checked(cloud))) if "check" in cloud else (names, values)
