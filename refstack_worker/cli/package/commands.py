"""The commands of ``refstack-package`` that build, publish and try packages."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from cliff.command import Command
from cliff.lister import Lister

from refstack_worker.builder import verify
from refstack_worker.builder.chroots import PYTHONS, default_cache
from refstack_worker.builder.packages import contents, provenance
from refstack_worker.builder.repository import publish
from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import Repository
from refstack_worker.builder.repository.signing import OpenPgpKeyring
from refstack_worker.errors import BuildError, UsageError

LOG = logging.getLogger(__name__)

CHANGES = ("Package", "Version", "Format")


class BuildPackage(Command):
    """Build the packages of a locked Tempest version: lock, wheels, licence texts, bill of materials.

    FOLDER is what 'refstack-package lock' wrote (DIR/VERSION). Locks for several interpreters in one folder make one
    package for all of them. The same locks give the same bytes.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of a version, e.g. locks/43.0.0")
        add_package_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        build_folder(package_request(parsed_args.folder, parsed_args), self.app.stdout)


def add_package_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of everything that builds packages."""
    parser.add_argument("--format", default="deb,rpm", metavar="F,…", help="deb, rpm, or both (default)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder for the packages; default: .")
    parser.add_argument(
        "--revision",
        type=int,
        default=1,
        metavar="N",
        help="revision of the package; raise it to package the same version again",
    )
    parser.add_argument(
        "--interpreter-package", action="append", default=[], metavar="X.Y=NAME",
        help="system package of an interpreter, if it has an unusual name (3.8=opt-python3.8)",
    )  # fmt: skip
    parser.add_argument(
        "--osv", type=Path, metavar="FILE|DIR",
        help="look the wheels up in these records of known vulnerabilities (OSV's JSON, or its PyPI/all.zip)",
    )  # fmt: skip
    parser.add_argument(
        "--fail-if-vulnerable", action="store_true", help="build nothing if a wheel has a known vulnerability"
    )
    parser.add_argument(
        "--builder-id", default=provenance.BUILDER, metavar="URI", help="name of the builder, for the provenance"
    )


def package_request(folder: Path, parsed_args: argparse.Namespace) -> contents.PackageRequest:
    """Return what the options ask for.

    :raises UsageError: an option is wrong.
    :raises BuildError: a tool is missing.
    """
    pairs = []
    for word in parsed_args.interpreter_package:
        series, equals, name = word.partition("=")
        if not equals or not series or not name:
            raise UsageError(f"--interpreter-package {word!r}: write it as 3.8=opt-python3.8")
        pairs.append((series, name))
    formats = tuple(word for word in parsed_args.format.split(",") if word)
    contents.check_formats(formats)
    if parsed_args.fail_if_vulnerable and parsed_args.osv is None:
        raise UsageError("--fail-if-vulnerable needs records of vulnerabilities (--osv FILE)")
    return contents.PackageRequest(
        folder,
        parsed_args.out,
        formats,
        parsed_args.revision,
        tuple(pairs),
        parsed_args.osv,
        parsed_args.fail_if_vulnerable,
        parsed_args.builder_id,
    )


def build_folder(request: contents.PackageRequest, out: IO[str]) -> None:
    """Build the packages of a version's folder and print their names."""
    for path in contents.build(request):
        out.write(f"{path}\n")
    there = {contents.series_of(lock) for lock in contents.read_locks(request.folder)}
    for suite, series in sorted(PYTHONS.items()):
        if series not in there:
            LOG.warning(
                "no lock for Python %s: nodes on Debian %s cannot install it; lock it there too, or use "
                    "--also-python PATH",
                series, suite,
            )  # fmt: skip


class RepositoryCommand(Lister):
    """What the commands that change a repository share."""

    nothing = "nothing to withdraw"
    """Shown to people instead of an empty table."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--repo", type=Path, required=True, metavar="DIR", help="folder of the repositories")
        parser.add_argument("--key", default="", metavar="ID", help="OpenPGP key to sign with (required)")
        parser.add_argument("--gnupg-home", type=Path, metavar="DIR", help="gpg's folder; default: gpg's own")
        return parser

    def publisher(self, parsed_args: argparse.Namespace, url: str = "") -> Publisher:
        return Publisher(Repository(parsed_args.repo), OpenPgpKeyring(parsed_args.gnupg_home), parsed_args.key, url)

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Any]) -> int:
        rows = list(data)
        if rows or parsed_args.formatter != "table":
            status: int = super().produce_output(parsed_args, column_names, rows)
            return status
        self.app.stdout.write(f"{self.nothing}\n")
        return 0


class Publish(RepositoryCommand):
    """Add packages to the signed apt and yum repositories in a folder, which is created if missing.

    A package that is there already with the same content is left alone; the same version with other content is
    refused. Without a key, or with a key that is not the repository's, nothing is changed.
    """

    nothing = "nothing to publish: the repositories have these packages already"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--url", default="", help="base URL under which DIR is served; it is recorded")
        parser.add_argument(
            "--verify", action="store_true",
            help="first publish to a copy and check the Tempest versions there, as 'verify' does; needs root",
        )  # fmt: skip
        add_verify_options(parser)
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help=".deb, .dsc and its files, .changes, .rpm"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Publish and list what is new."""
        publisher = self.publisher(parsed_args, parsed_args.url)
        if parsed_args.verify:
            with publisher.repository.staged() as staging:
                replace(publisher, repository=staging).publish(parsed_args.files)
                for row in _verified(staging, verify.versions_in(parsed_args.files), parsed_args):
                    LOG.info("verified: %s %s, %d tests", *row[:3])
        added = publisher.publish(parsed_args.files)
        return CHANGES, [line.split() for line in added]


class Withdraw(RepositoryCommand):
    """Take packages out of the repositories; nodes that have them keep them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("names", nargs="+", metavar="NAME[=VERSION]", help="a package, or one version of it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Withdraw and list the files that went."""
        return ("Withdrawn",), [(name,) for name in self.publisher(parsed_args).withdraw(parsed_args.names)]


class Prune(RepositoryCommand):
    """Keep the newest versions of each package and withdraw the others; packages of Tempest versions count together."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--keep", type=int, required=True, metavar="N", help="number of versions to keep")
        parser.add_argument("--dry-run", action="store_true", help="only list what would be withdrawn")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Prune and list the files that went."""
        publisher = self.publisher(parsed_args)
        if parsed_args.dry_run:
            return ("Would be withdrawn",), [(path.name,) for path in publisher.surplus(parsed_args.keep)]
        return ("Withdrawn",), [(name,) for name in publisher.prune(parsed_args.keep)]


class Rollover(Command):
    """Change the key that signs the repositories, in two steps.

    First run: everything is signed with the old key and the new one, and the keyring holds both. Publish a
    refstack-archive-keyring package with both, and wait until all nodes have it. Then --finish: only the new key signs.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--repo", type=Path, required=True, metavar="DIR", help="folder of the repositories")
        parser.add_argument("--to", required=True, metavar="ID", help="the new key")
        parser.add_argument("--finish", action="store_true", help="sign only with the new key from now on")
        parser.add_argument("--gnupg-home", type=Path, metavar="DIR", help="gpg's folder; default: gpg's own")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Roll over and say what comes next."""
        repository = Repository(parsed_args.repo)
        Publisher(repository, OpenPgpKeyring(parsed_args.gnupg_home)).roll_over(parsed_args.to, parsed_args.finish)
        keys = repository.record().keys
        self.app.stdout.write(f"signed with {' and '.join(keys)}\n")
        if not parsed_args.finish:
            self.app.stdout.write(
                f"next: publish a keyring package made of {parsed_args.repo}/refstack-archive-keyring.asc; when all "
                f"nodes have it: refstack-package rollover --repo {parsed_args.repo} --to {parsed_args.to} --finish\n"
            )


class ListPublished(Lister):
    """List what is in the repositories."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--repo", type=Path, required=True, metavar="DIR", help="folder of the repositories")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        found = publish.listing(Repository(parsed_args.repo))
        return ("Package", "Version", "Format", "Bytes"), [
            (item.package, item.version.removeprefix("0:"), item.format, item.path.stat().st_size) for item in found
        ]


class VerifyPublished(Lister):
    """Check that published packages work: install them into a clean Debian with no network but the repository.

    First checks the provenance of the versions' packages (signature and file digest). Then installs Debian's own
    packages, installs the version offline from the repository alone with signatures checked, and lists its tests. Needs
    root, mmdebstrap and systemd-container, except with --provenance.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--repo", type=Path, required=True, metavar="DIR", help="folder of the repositories")
        parser.add_argument("versions", nargs="+", metavar="VERSION", help="Tempest versions, e.g. 43.0.0")
        add_verify_options(parser)
        parser.add_argument("--provenance", action="store_true", help="only check and show the provenance")
        parser.add_argument(
            "--keyring",
            type=Path,
            metavar="FILE",
            help="public keys to trust for the provenance; default: the repository's own",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        repository = Repository(parsed_args.repo)
        checked = verify.verify_provenance(repository, parsed_args.versions, parsed_args.keyring)
        if parsed_args.provenance:
            return ("File", "Builder", "Signed by", "Vulnerabilities"), [
                (one.file, one.builder, " ".join(one.keys), one.vulnerabilities) for one in checked
            ]
        rows = _verified(repository, parsed_args.versions, parsed_args)
        return ("Suite", "Package", "Tests", "Seconds"), rows


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what installs packages into clean roots."""
    parser.add_argument(
        "--suite", action="append", choices=sorted(PYTHONS),
        help="Debian release; may be repeated; default: all whose Python has a lock",
    )  # fmt: skip
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder that keeps the clean roots"
    )


def _verified(
    repository: Repository, versions: Sequence[str], parsed_args: argparse.Namespace
) -> list[tuple[str, str, int, float]]:
    """Verify versions on the suites that were asked for, or on each that has a Python that they are locked for."""
    rows = []
    for suite in parsed_args.suite or sorted(PYTHONS):
        fitting = [name for name in versions if parsed_args.suite or verify.is_locked_for(repository, name, suite)]
        for name in sorted(set(versions) - set(fitting)):
            LOG.warning("%s: Tempest %s has no lock for its Python %s: not verified", suite, name, PYTHONS[suite])
        if fitting:
            rows += verify.verify(repository, suite, fitting, parsed_args.cache)
    if versions and not rows:
        raise BuildError(f"{', '.join(versions)}: no Debian release of {', '.join(sorted(PYTHONS))} has their Python")
    return rows


COMMANDS: dict[str, type[Command]] = {
    "build-package": BuildPackage,
    "publish": Publish,
    "withdraw": Withdraw,
    "prune": Prune,
    "rollover": Rollover,
    "list": ListPublished,
    "verify": VerifyPublished,
}
"""For ``refstack-package``: words of the command to its class."""
