"""``refstack-queue cloud|guideline|vendor|user …`` and ``worker demand``: the users' side over the HTTP API."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.run_options import Conf, add_passwords
from refstack_worker.errors import UsageError

Columns = tuple[Sequence[str], Sequence[Any]]
Rows = tuple[Sequence[str], Iterable[Sequence[Any]]]


@dataclass(frozen=True)
class Account:
    """A user of a cloud: what he is to Tempest, and where his name, project and password go."""

    word: str
    """Of the command's options: ``--user`` and ``--project``, ``--alt-user``, …"""
    about: str
    field: str
    """Of a cloud in the API."""
    section: str
    """Of Tempest's options."""

    @property
    def name(self) -> str:
        """As the command's parsed options have him."""
        return f"{self.word}user"

    @property
    def variable(self) -> str:
        """Where his password may stand."""
        return f"REFSTACK_CLOUD_{self.word.upper()}PASSWORD"


ACCOUNTS = (
    Account("", "test user", "test_user", "identity"),
    Account("alt_", "second test user", "alt_user", "identity"),
    Account("admin_", "administrator", "admin_user", "auth"),
)


class CloudList(Lister):
    """List your clouds."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask."""
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
        """Say what the command takes."""
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
        """Enter it."""
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
            return _shown(api.post(f"/v1/clouds/{made['id']}/check", {"conf_json": conf}))


class CheckCloud(ShowOne):
    """Look at a cloud: does Keystone answer, which services are there?

    Passwords come from the same variables as for 'cloud create'; without any, those that the server keeps are used.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Ask."""
        conf: Conf = {}
        for account in ACCOUNTS:
            if os.environ.get(account.variable):
                conf.setdefault(account.section, {})[f"{account.word}password"] = os.environ[account.variable]
        with Api(access_of(self.app.options)) as api:
            return _shown(api.post(f"/v1/clouds/{parsed_args.id}/check", {"conf_json": conf}))


class GuidelineList(Lister):
    """List guidelines and their programs."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask."""
        rows = []
        with Api(access_of(self.app.options)) as api:
            for one in api.get("/v1/guidelines")["guidelines"]:
                programs = api.get(f"/v1/guidelines/{one['id']}")["programs"]
                rows += [(one["id"], one["name"], program["name"], program["required"]) for program in programs]
        return ("Id", "Guideline", "Program", "Required tests"), rows


class GuidelineAdd(ShowOne):
    """Add an interop guideline, from a file or from an address that the operator allows."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("source", help="file or https:// address")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Send it."""
        source: str = parsed_args.source
        body = {"url": source} if source.startswith(("http://", "https://")) else {"text": _text(Path(source))}
        with Api(access_of(self.app.options)) as api:
            return _shown(api.post("/v1/guidelines", body))


class RunVerdict(Command):
    """Say what a run's result means for a program. Exit status 0: passed; 1: not."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="of the run")
        parser.add_argument("--guideline", default="", help="as 2020.06; default: the one that the run was made by")
        parser.add_argument("--program", default="")
        parser.add_argument("--json", action="store_true", help="as the API answers")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask."""
        if bool(parsed_args.guideline) != bool(parsed_args.program):
            raise UsageError("--guideline, --program: one needs the other ('refstack-queue guideline list' shows them)")
        query = {"guideline": parsed_args.guideline, "program": parsed_args.program} if parsed_args.guideline else {}
        with Api(access_of(self.app.options)) as api:
            told = api.get(f"/v1/runs/{parsed_args.id}/verdict", query)
        self.app.stdout.write(json.dumps(told, indent=1) + "\n" if parsed_args.json else _verdict_text(told))
        return 0 if told["passed"] else 1


class RunExport(Command):
    """Write a run's result into a file: subunit, JUnit XML, HTML, CSV or JSON."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int)
        parser.add_argument("format", choices=("subunit", "junit", "html", "csv", "json"))
        parser.add_argument("file", type=Path)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Fetch it."""
        kind = parsed_args.format
        path = f"/v1/runs/{parsed_args.id}/" + ("subunit" if kind == "subunit" else f"exports/{kind}")
        with Api(access_of(self.app.options)) as api, parsed_args.file.open("wb") as out:
            api.save(path, out)


class VendorList(Lister):
    """List vendors (operators)."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask."""
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/vendors")["vendors"]
        return ("Id", "Name", "Contact"), [(one["id"], one["name"], one["contact_email"]) for one in found]


class VendorCreate(ShowOne):
    """Enter a vendor (operators)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name")
        parser.add_argument("--contact-name", default="")
        parser.add_argument("--contact-email", default="")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Enter it."""
        names = ("name", "contact_name", "contact_email")
        with Api(access_of(self.app.options)) as api:
            return _shown(api.post("/v1/vendors", {name: getattr(parsed_args, name) for name in names}))


class UserList(Lister):
    """List users (operators)."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask."""
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/users")["users"]
        return ("Id", "Name", "Email", "Vendor"), [
            (one["id"], one["name"], one["email"], one["vendor_id"]) for one in found
        ]


class UserCreate(ShowOne):
    """Enter a user of a vendor (operators); 'token create --user ID' gives him a token."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name")
        parser.add_argument("--email", default="")
        parser.add_argument("--vendor", type=int, metavar="ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Enter it."""
        body = {"name": parsed_args.name, "email": parsed_args.email}
        if parsed_args.vendor is not None:
            body["vendor_id"] = parsed_args.vendor
        with Api(access_of(self.app.options)) as api:
            return _shown(api.post("/v1/users", body))


class WorkerDemand(Lister):
    """Tell what waits for which nodes and how many slots are missing (operators): what a pool is scaled by."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask."""
        names = ("function", "queued", "running", "slots", "needed", "waited")
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/demand")["demand"]
        heads = ("Function", "Waiting", "Running", "Slots", "Needed", "Oldest waits s")
        return heads, [tuple(round(row[name]) if name == "waited" else row[name] for name in names) for row in found]


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


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _shown(record: dict[str, Any]) -> Columns:
    plain = {name: value for name, value in record.items() if not isinstance(value, (dict, list))}
    if "check" in record:
        plain["check"] = _checked(record)
    return tuple(plain), tuple(plain.values())


def _checked(cloud: dict[str, Any]) -> str:
    check = cloud["check"]
    return f"{'good' if check['ok'] else 'not good'}: {check['said']}" if check else "not checked"


def _verdict_text(told: dict[str, Any]) -> str:
    required = told["required"]
    lines = [
        f"{told['program']}, guideline {told['guideline']}: {'passed' if told['passed'] else 'not passed'}",
        f"{required['passed']} of {required['total']} required tests passed",
    ]
    for capability in required["capabilities"]:
        lines += [f"{capability['name']}: {test['status']}: {test['name']}" for test in capability["lacking"]]
    return "\n".join(lines) + "\n"
