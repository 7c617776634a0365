"""``refstack-queue cloud …``: the clouds that runs are made against."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.cloud_sources import (
    Conf,
    add_source_options,
    conf_of_sources,
    login_of_environment,
    read_accounts_file,
)
from refstack_worker.cli.queue.names import cloud_id
from refstack_worker.cli.queue.records import Columns, Rows, plain_columns
from refstack_worker.cli.queue.runs.options import add_passwords
from refstack_worker.contract.accounts import account_sections, accounts_in, without_accounts
from refstack_worker.contract.secrets import is_secret_option
from refstack_worker.errors import UsageError


@dataclass(frozen=True)
class Account:
    """A user of a cloud: the role in Tempest, and where name, project and password go."""

    word: str
    """Word in the names of the command's options: ``--user`` and ``--project``, ``--alt-user``, …"""
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
    """Add a cloud and test the connection.

    Passwords come from --password-file, from REFSTACK_CLOUD_PASSWORD, REFSTACK_CLOUD_ALT_PASSWORD and
    REFSTACK_CLOUD_ADMIN_PASSWORD; otherwise you are asked for them. The cloud itself may come from clouds.yaml
    (--os-cloud), an openrc
    file's variables (--env, or where no address is given), or a tempest.conf.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("label", help="display name")
        parser.add_argument("keystone", nargs="?", default="", help="Keystone URL, e.g. https://cloud.example:5000/v3")
        _add_cloud_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body, conf = _body(parsed_args, {"label": parsed_args.label}, conf_of_sources(parsed_args))
        if not body.get("endpoint_v3"):
            found = login_of_environment()
            if not found:
                raise UsageError("KEYSTONE is missing: give the Keystone URL of the cloud, or use --os-cloud or --env")
            body, conf = _body(parsed_args, {"label": parsed_args.label}, found)
        with Api(access_of(self.app.options)) as api:
            made = api.post("/v1/clouds", body)
            return cloud_columns(api.post(f"/v1/clouds/{made['id']}/check", _check_body(conf)))


class CloudUpdate(ShowOne):
    """Change a cloud and test the connection again; what you do not give stays.

    Passwords come from the same places as for 'cloud create'.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = with_cloud(super().get_parser(prog_name))
        parser.add_argument("--label", default="", help="another display name")
        parser.add_argument("--keystone", default="", metavar="URL", help="another Keystone URL")
        _add_cloud_options(parser)
        parser.add_argument("--forget-passwords", action="store_true", help="erase passwords and accounts stored there")
        parser.add_argument("--forget-accounts", action="store_true", help="erase the accounts stored there")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            path = f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}"
            known = api.get(path)
            body, conf = _body(parsed_args, _changeable(known), conf_of_sources(parsed_args), known["options"])
            if parsed_args.label:
                body["label"] = parsed_args.label
            if parsed_args.forget_passwords:
                body["forget_passwords"] = True
            if parsed_args.forget_accounts:
                body["accounts"] = []
            api.put(path, body)
            return cloud_columns(api.post(f"{path}/check", _check_body(conf)))


class CheckCloud(ShowOne):
    """Test the connection to a cloud: does Keystone answer, and which services are there?

    Passwords come from --password-file or the variables of 'cloud create'; without any, the stored ones are used.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_password_file(with_cloud(super().get_parser(prog_name)))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        conf: Conf = {}
        add_passwords(conf, parsed_args.password_file)
        for account in ACCOUNTS:
            if os.environ.get(account.variable):
                values = conf.setdefault(account.section, {})
                values.setdefault(f"{account.word}password", os.environ[account.variable])
        with Api(access_of(self.app.options)) as api:
            path = f"/v1/clouds/{cloud_id(api, parsed_args.cloud)}/check"
            return cloud_columns(api.post(path, {"conf_json": conf}))


def with_cloud(parser: Any) -> argparse.ArgumentParser:
    """Add the argument that names a cloud."""
    found: argparse.ArgumentParser = parser
    found.add_argument("cloud", help="name or id, as 'cloud list' shows it")
    return found


def _with_password_file(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE",
        help="file with lines SECTION.OPTION=VALUE, e.g. identity.password=…; only you may be able to read it",
    )  # fmt: skip
    return parser


def _add_cloud_options(parser: argparse.ArgumentParser) -> None:
    for account in ACCOUNTS:
        option = account.word.replace("_", "-")
        parser.add_argument(f"--{option}user", default="", metavar="NAME", help=account.about)
        parser.add_argument(f"--{option}project", default="", metavar="NAME", help=f"project of the {account.about}")
    _with_password_file(parser)
    add_source_options(parser)
    parser.add_argument("--region", default="")
    parser.add_argument("--release", default="", help="OpenStack release, e.g. 2025.1")
    parser.add_argument(
        "--keep-password", action="store_true",
        help="store the passwords on the server, encrypted; accounts of --accounts-file always are",
    )  # fmt: skip


def _changeable(known: dict[str, Any]) -> dict[str, Any]:
    names = ("label", "endpoint_v3", "region", "release", *(account.field for account in ACCOUNTS))
    return {name: known[name] for name in names if known.get(name)}


def _body(
    options: argparse.Namespace, known: dict[str, Any], conf: Conf, stored: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Any], Conf]:
    """Return the body that enters or changes a cloud, and the options with which it is looked at.

    :param known: fields of the cloud so far.
    :param stored: its options so far.
    """
    body = {**known, **_fields(conf)}
    given = {"endpoint_v3": options.keystone, "region": options.region, "release": options.release}
    given.update({account.field: getattr(options, account.name) for account in ACCOUNTS})
    body.update({name: value for name, value in given.items() if value})
    _add_logins(conf, options, body)
    accounts = accounts_in(conf)
    if options.accounts_file is not None:
        accounts = accounts_in(read_accounts_file(options.accounts_file))
    if accounts:
        body["accounts"] = accounts
    conf = without_accounts(conf)
    kept = _merged(stored, conf if options.keep_password else _public_part(conf))
    if kept:
        body["conf_json"] = kept
    return body, {**conf, **(account_sections(accounts) if accounts else {})}


def _fields(conf: Conf) -> dict[str, str]:
    """Take the cloud's own fields out of options."""
    identity, auth = conf.get("identity", {}), conf.get("auth", {})
    address = identity.pop("uri_v3", "") or identity.get("uri", "")
    identity.pop("uri", None)
    found = {
        "endpoint_v3": address,
        "region": identity.pop("region", ""),
        "test_user": identity.pop("username", ""),
        "alt_user": identity.pop("alt_username", ""),
        "admin_user": auth.pop("admin_username", "") or identity.pop("admin_username", ""),
    }
    return {name: str(value) for name, value in found.items() if value}


def _add_logins(conf: Conf, options: argparse.Namespace, body: Mapping[str, Any]) -> None:
    """Add projects and passwords of the users that the command line names; passwords are asked for."""
    add_passwords(conf, options.password_file)
    for account in ACCOUNTS:
        project = getattr(options, f"{account.word}project")
        if project and body.get(account.field):
            conf.setdefault(account.section, {})[f"{account.word}project_name"] = project
        name, password = f"{account.word}password", os.environ.get(account.variable, "")
        if not getattr(options, account.name) or conf.get(account.section, {}).get(name):
            if password and body.get(account.field):
                conf.setdefault(account.section, {}).setdefault(name, password)
            continue
        password = password or getpass.getpass(f"Password of {getattr(options, account.name)}: ")
        conf.setdefault(account.section, {})[name] = password


def _check_body(conf: Conf) -> dict[str, Any]:
    """Return with what a cloud is looked at; without a password those that the server keeps are used."""
    return {"conf_json": conf} if _public_part(conf) != conf else {}


def _public_part(conf: Mapping[str, Mapping[str, Any]]) -> Conf:
    return {
        section: {option: value for option, value in values.items() if not is_secret_option(option)}
        for section, values in conf.items()
    }


def _merged(*layers: Mapping[str, Mapping[str, Any]]) -> Conf:
    found: Conf = {}
    for layer in layers:
        for section, values in layer.items():
            found.setdefault(section, {}).update(values)
    return {section: values for section, values in found.items() if values}


def _checked(cloud: dict[str, Any]) -> str:
    check = cloud.get("check")
    return f"{'good' if check['ok'] else 'not good'}: {check['said']}" if check else "not checked"


def cloud_columns(cloud: dict[str, Any]) -> Columns:
    """Return a cloud as the commands print it."""
    names, values = plain_columns({name: value for name, value in cloud.items() if name != "check"})
    options = (
        f"{section}.{option} = {value}"
        for section, items in (cloud.get("options") or {}).items()
        for option, value in items.items()
    )
    return (*names, "options", "check"), (*values, "\n".join(options), _checked(cloud))
