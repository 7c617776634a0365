"""``refstack-package``: what a release engineer does: lock a Tempest version, publish it, build its packages."""

from __future__ import annotations

import argparse
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne
from packaging.utils import canonicalize_name
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from refstack_worker.builder.locks.make import LockRequest, make_lock
from refstack_worker.builder.locks.recheck import prove_locks
from refstack_worker.builder.locks.resolve import ResolveRequest
from refstack_worker.builder.locks.tempest_source import TempestSource
from refstack_worker.builder.repository import wheelhouse
from refstack_worker.cli import app
from refstack_worker.cli.package import commands
from refstack_worker.cli.worker.environments import plugins_of
from refstack_worker.contract.payload import is_release, release_trouble
from refstack_worker.environments import interpreters
from refstack_worker.environments import lock as locks
from refstack_worker.environments.catalogue import is_url
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.wheels.download import Downloader
from refstack_worker.errors import BuildError, UsageError

MACHINES = ("x86_64", "aarch64")
"""Kinds of machine that packages can be for."""
DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")


class LockVersion(ShowOne):
    """Lock a Tempest version: find every wheel that belongs to it, and prove that it lists tests.

    Writes OUTPUT/VERSION/pylock.<name>.toml and the wheels beside it, in OUTPUT/VERSION/wheels/. The same version,
    constraints, interpreter and --exclude-newer give the same bytes, on any day.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_lock_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        made = lock(parsed_args)
        about = made.compatibility
        columns = ("lock", "tempest", "interpreter", "openstack", "wheels", "bytes", "tests", "sha256")
        releases = " ".join(about.releases)
        values = (str(made.path), made.label, about.interpreter, releases, len(made.wheels), made.size, about.tests)
        return columns, (*values, made.digest)


class Build(Command):
    """Lock a Tempest version and build its packages: lock, wheels, licence texts, bill of materials.

    One package serves every interpreter that it is locked for (--python, --also-python).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_lock_options(parser)
        parser.set_defaults(output=Path("locks"))
        parser.add_argument(
            "--also-python", action="append", default=[], metavar="X.Y|PATH", help="also lock for this interpreter"
        )
        commands.add_package_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Lock for each interpreter, then build."""
        request = commands.package_request(parsed_args.output, parsed_args)  # before locking, which takes minutes
        for python in (parsed_args.python, *parsed_args.also_python):
            made = lock(argparse.Namespace(**{**vars(parsed_args), "python": python}))
            self.app.stdout.write(f"{made.path}\n")
            request = replace(request, folder=made.path.parent)
        commands.build_folder(request, self.app.stdout)


class VerifyLock(Lister):
    """Verify locks and their wheels byte for byte, and recheck that each lists its tests."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "folders", nargs="+", type=Path, metavar="FOLDER", help="folder of a version, e.g. locks/43.0.0"
        )
        parser.add_argument("--python", default="", metavar="PATH", help="additional interpreter")
        add_build_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        extra = (Path(parsed_args.python),) if parsed_args.python else ()
        rows = []
        for folder in parsed_args.folders:
            wheelhouse.check(folder)
            rows += prove_locks(folder, extra, parsed_args.cache)
        return ("Lock", "Tempest", "Interpreter", "Tests", "Result"), rows


class PublishWheelhouse(Lister):
    """Add locked versions to a wheelhouse: a folder that any web server can serve, or that nodes mount.

    DIR is created if missing. What it contains stays, except versions named by --withdraw.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("house", type=Path, metavar="DIR", help="the wheelhouse")
        parser.add_argument(
            "folders", nargs="*", type=Path, metavar="FOLDER", help="folder of a version, e.g. locks/43.0.0"
        )
        parser.add_argument("--withdraw", action="append", default=[], metavar="VERSION", help="remove this version")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Publish and list what is there."""
        found = wheelhouse.publish(parsed_args.house, parsed_args.folders, parsed_args.withdraw)
        return ("Lock", "Tempest", "Wheels", "New"), [(p.path, p.label, p.wheels, p.new) for p in found]


def add_lock_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is locked."""
    parser.add_argument(
        "version", metavar="VERSION|SOURCE",
        help="Tempest version, e.g. 43.0.0; or git+URL@COMMIT, a checkout's folder, a source distribution",
    )  # fmt: skip
    parser.add_argument(
        "--as",
        dest="name",
        default="",
        metavar="VERSION",
        help="version name for a SOURCE, e.g. 47.0.1.dev5+site1; default: derived from the source",
    )
    parser.add_argument("--constraints", metavar="FILE|URL", help="upper constraints of its OpenStack release")
    parser.add_argument(
        "--python", default="", metavar="X.Y|PATH", help="interpreter to lock for; default: this node's newest"
    )
    parser.add_argument(
        "--machine", dest="machines", action="append", default=[], choices=MACHINES,
        help="also lock for this kind of machine, from wheels alone; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--with", dest="plugins", action="append", default=[], metavar="PLUGIN==V",
        help="also lock this Tempest plugin; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--exclude-newer", metavar="DATE", help="use the package index as of this date (2026-11-20, UTC); default: now"
    )
    parser.add_argument(
        "--openstack", action="append", default=[], metavar="RELEASE",
        help="an OpenStack release that it supports, newest first; default: what is known of the version",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="folder of versions; default: .")
    add_build_options(parser)


def lock(parsed_args: argparse.Namespace) -> locks.Lock:
    """Make the lock that the arguments ask for."""
    source = TempestSource.parse(parsed_args.version)
    version = _version_of(parsed_args, source)
    with tempfile.TemporaryDirectory(prefix="refstack-lock-") as scratch:
        ca_file = with_system_authorities(parsed_args.ca_file, Path(scratch))
        constraints, name = constraints_of(parsed_args.constraints, Path(scratch), ca_file)
        plugins = plugins_of(parsed_args.plugins).items()
        resolve_request = ResolveRequest(
            version,
            tuple(sorted((str(canonicalize_name(plugin)), version) for plugin, version in plugins)),
            interpreter_of(parsed_args.python),
            constraints,
            name,
            date_of(parsed_args.exclude_newer),
            parsed_args.index,
        )
        return make_lock(
            LockRequest(
                resolve_request,
                parsed_args.output,
                parsed_args.cache,
                tuple(parsed_args.openstack),
                ca_file,
                machines_of(parsed_args.machines, resolve_request.interpreter),
                source,
            )
        )


def machines_of(kinds: Sequence[str], interpreter: Interpreter) -> tuple[str, ...]:
    """Return the kinds of machine other than the interpreter's own, each once."""
    return tuple(kind for kind in dict.fromkeys(kinds) if kind != interpreter.fact("platform_machine"))


def _version_of(parsed_args: argparse.Namespace, source: TempestSource | None) -> str:
    """Return the version that is asked for; empty: that of the source."""
    if source is None:
        if trouble := release_trouble(parsed_args.version):
            raise UsageError(trouble)
        if parsed_args.name:
            raise UsageError("--as renames only a SOURCE; a version from the index keeps its name")
        return str(parsed_args.version)
    if parsed_args.name and (trouble := release_trouble(parsed_args.name)):
        raise UsageError(f"--as: {trouble}")
    if is_release(parsed_args.name):
        raise UsageError(
            f"--as {parsed_args.name}: that is the name of a release; add to it, e.g. {parsed_args.name}+site1"
        )
    return str(parsed_args.name)


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all who build share."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refstack-package"
    parser.add_argument("--cache", type=Path, default=cache, metavar="DIR", help=f"default: {cache}")
    parser.add_argument("--index", default="", metavar="URL", help="package index (default: the resolver's)")
    parser.add_argument(
        "--ca-file", default="", metavar="FILE", help="certificate authorities to trust in addition to the system's"
    )


def with_system_authorities(ca_file: str, folder: Path) -> str:
    """Return a file with these authorities and the system's: who is given a file trusts nothing else.

    :raises BuildError: the file cannot be read.
    """
    if not ca_file:
        return ""
    system = ssl.get_default_verify_paths().cafile or DEFAULT_CA_BUNDLE_PATH
    both = folder / "authorities.pem"
    try:
        both.write_bytes(b"\n".join(Path(place).read_bytes() for place in (system, ca_file)))
    except OSError as error:
        raise BuildError(f"--ca-file: {error}") from error
    return str(both)


def constraints_of(place: str | None, scratch: Path, ca_file: str) -> tuple[Path | None, str]:
    """Return a constraints file, downloaded when it is a URL, and its name.

    :raises BuildError: it cannot be had.
    """
    if not place:
        return None, ""
    name = place.rstrip("/").rpartition("/")[2]
    if is_url(place):
        answer = Downloader(ca_file).page(place)
        if answer.status_code != 200:
            raise BuildError(f"{place}: response {answer.status_code}; is the URL right?")
        (scratch / "constraints.txt").write_bytes(answer.content)
        return scratch / "constraints.txt", name
    if not Path(place).is_file():
        raise BuildError(f"{place}: no such constraints file")
    return Path(place).absolute(), name


def interpreter_of(wanted: str) -> Interpreter:
    """Return the interpreter that a word names: a path, a series as ``3.11``, or the newest there is.

    :raises UsageError: there is none.
    """
    if "/" in wanted:
        return interpreters.probe(Path(wanted))
    there = interpreters.find()
    for interpreter in there:
        if wanted in ("", interpreter.series):
            return interpreter
    have = ", ".join(interpreter.series for interpreter in there) or "none"
    raise UsageError(
        f"--python {wanted}: this machine has {have}; give the path of another (--python /opt/…/python3.8)"
    )


def date_of(text: str | None) -> str:
    """Return a date as RFC 3339 in UTC; without one that of ``SOURCE_DATE_EPOCH``, else now.

    :raises UsageError: it is none.
    """
    if text is None:
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        when = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")
    if not DATE.fullmatch(text):
        raise UsageError(f"--exclude-newer {text!r}: write a date as 2026-11-20 or 2026-11-20T12:00:00Z")
    return text if "T" in text else f"{text}T00:00:00Z"


COMMANDS: dict[str, type[Command]] = {
    **commands.COMMANDS,
    "build": Build,
    "lock": LockVersion,
    "verify-lock": VerifyLock,
    "publish-wheelhouse": PublishWheelhouse,
}

PROGRAM = app.CliProgram("refstack-package", "Lock, build and publish Tempest versions for refstack-worker.", COMMANDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``refstack-package`` and return its exit status."""
    return app.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
