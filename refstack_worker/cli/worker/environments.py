"""``refstack-worker versions`` and ``refstack-worker env …``: what this node can build, and its store."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import test_listing
from refstack_worker.environments.catalogue import Catalogue, Offer, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.lock import set_name
from refstack_worker.environments.store import leases
from refstack_worker.environments.store.file_locks import work_folder
from refstack_worker.environments.store.gc import usage
from refstack_worker.environments.store.verify import Store
from refstack_worker.errors import StoreError, UsageError
from refstack_worker.filesystem import disk_errors

LOG = logging.getLogger(__name__)


def settings_of(app: Any) -> EnvironmentSettings:
    """Return what the program's settings say about environments: they are it, or have it as ``environments``."""
    settings = app.settings
    found = settings if isinstance(settings, EnvironmentSettings) else settings.environments
    assert isinstance(found, EnvironmentSettings)  # noqa: S101 - for the type checker
    return found


class Versions(Lister):
    """List the Tempest versions on this node, with how each is built or why it cannot be.

    WARM: all its wheels are unpacked in the store. TESTS: how many tests it listed when it was checked on this node;
    0 means that the first build will check it. NAME: what its package is called after, refstack-tempest-NAME.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        catalogue = Catalogue(settings_of(self.app))
        catalogue.refresh()
        columns = ("Version", "Plugins", "OpenStack", "Interpreter", "From", "Warm", "Tests", "Problem", "Name")
        return columns, [(*_row(offer), set_name(offer.version, offer.plugins)) for offer in catalogue.offers()]


def _row(offer: Offer) -> tuple[Any, ...]:
    python = f"{offer.interpreter.name} {offer.interpreter.path}" if offer.interpreter else ""
    plugins = " ".join(f"{name}=={version}" for name, version in offer.plugins)
    releases = " ".join(offer.releases)
    return (offer.version, plugins, releases, python, offer.source, offer.warm, offer.tests, offer.problem)


class EnvBuild(ShowOne):
    """Build an environment: fill the store and check that it lists tests; keep it if --folder is given.

    Give a Tempest version (47.0.0), or an OpenStack release with --openstack (2025.1).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("version", nargs="?", default="", metavar="VERSION", help="Tempest version")
        parser.add_argument("--openstack", default="", metavar="RELEASE", help="the newest version for that release")
        parser.add_argument(
            "--with", dest="plugins", action="append", default=[], metavar="PLUGIN==V",
            help="include this Tempest plugin; may be repeated",
        )  # fmt: skip
        parser.add_argument("--folder", type=Path, help="keep the environment in this folder, which must not exist yet")
        parser.add_argument("--again", action="store_true", help="re-check it even if it was rejected before")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        if bool(parsed_args.version) == bool(parsed_args.openstack):
            raise UsageError("give either VERSION or --openstack RELEASE")
        settings = settings_of(self.app)
        catalogue = Catalogue(settings)
        catalogue.refresh()
        want = Want(parsed_args.version, parsed_args.openstack, plugins_of(parsed_args.plugins))
        if parsed_args.again:
            forget(catalogue, want)
        offer = catalogue.find(want)
        with scratch_folder(settings) as scratch:
            began = time.monotonic()
            environment = Environment(offer, settings, parsed_args.folder or scratch / "env")
            built = environment.__enter__()
            seconds = time.monotonic() - began
            if parsed_args.folder:
                environment.keep()
            else:
                environment.remove()
        columns = ("version", "plugins", "interpreter", "from", "tests", "seconds", "folder")
        row = _row(offer)
        where = str(parsed_args.folder or "")
        return columns, (row[0], row[1], row[3], row[4], built.tests, round(seconds, 3), where)


@contextmanager
def scratch_folder(settings: EnvironmentSettings) -> Iterator[Path]:
    """Yield a folder for an environment that is not kept.

    It is in the store: programs can be executed there, as they cannot in every folder for temporary files.
    """
    store = Store(settings.store)
    with disk_errors(f"store {store.root}"):
        store.prepare()
        with work_folder(store.work) as folder:
            yield folder


def forget(catalogue: Catalogue, want: Want) -> None:
    """Forget earlier checks of the offers for ``want``."""
    for offer in catalogue.offers():
        if offer.lock is not None and offer.plugins == want.wanted_plugins and want.version in ("", offer.version):
            test_listing.forget(catalogue.store, offer.lock)


def plugins_of(words: Iterable[str]) -> dict[str, str]:
    """Read ``PLUGIN==VERSION`` words.

    :raises UsageError: one is not of that form.
    """
    found = {}
    for word in words:
        name, equals, version = word.partition("==")
        if not name or not equals or not version or set(version) & set("<>=!~,; "):
            raise UsageError(f"{word!r}: give the plugin with its exact version, e.g. keystone-tempest-plugin==0.22.0")
        found[name.strip()] = version.strip()
    return found


class EnvList(Lister):
    """List what uses the store: the environments that exist; with --entries, every unpacked wheel."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--entries", action="store_true", help="list the unpacked wheels, with size and last use")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        store = Store(settings_of(self.app).store)
        if not parsed_args.entries:
            columns: tuple[str, ...] = ("What", "Folder", "Since", "Entries")
            return columns, [(u.label, str(u.folder), _when(u.since), len(u.entries)) for u in leases.live(store)]
        columns = ("Wheel", "Entry", "MB", "Last use")
        return columns, list(_entries(store))


def _entries(store: Store) -> Iterator[tuple[str, str, float, str]]:
    for use in usage(store):
        try:
            wheel = store.manifest(use.name).wheel
        except StoreError:
            if (store.entries / use.name).exists():
                raise
            continue  # a clean-up has taken it meanwhile
        yield wheel, use.name, round(use.size / 1e6, 2), _when(use.used)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class EnvVerify(Lister):
    """Read every file of the store and list damaged entries; exits with an error if there is one.

    --repair removes them; the next build creates them again.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--repair", action="store_true", help="remove damaged entries; not while runs use them")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        store = Store(settings_of(self.app).store)
        damaged = store.verify()
        for damage in damaged:
            if parsed_args.repair:
                store.remove(damage)
        self._damaged = 0 if parsed_args.repair else len(damaged)
        LOG.info("%d entries, %d damaged", len(store.names()), len(damaged))
        return ("Wheel", "Entry", "Problem"), [(d.wheel, d.entry, d.problem) for d in damaged]

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the list, then fail if damage remains."""
        super().run(parsed_args)
        if self._damaged:
            raise StoreError(
                f"{self._damaged} damaged; 'env verify --repair' removes them; the next build creates them again"
            )
        return 0


class EnvGc(Command):
    """Remove from the store what no lock and no environment uses, least recently used first, down to a limit."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--limit-mb", type=int, metavar="MB", help="instead of the configured limit; 0: everything unused"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        settings = settings_of(self.app)
        limit = settings.store_limit_mb if parsed_args.limit_mb is None else parsed_args.limit_mb
        self.app.stdout.write(f"{collect(settings, limit)}\n")


def collect(settings: EnvironmentSettings, limit_mb: int) -> str:
    """Cut the store back to a limit; returns what was removed.

    :raises StoreError: the store cannot be written.
    """
    catalogue = Catalogue(settings)
    wheels = {wheel.sha256 for lock in catalogue.locks() for wheel in lock.wheels}
    done = catalogue.store.gc(limit_mb << 20, wheels)
    return f"removed {len(done.removed)} entries, {done.freed / 1e6:.1f} MB; {done.left / 1e6:.1f} MB left"


COMMANDS: dict[str, type[Command]] = {
    "versions": Versions,
    "env build": EnvBuild,
    "env list": EnvList,
    "env verify": EnvVerify,
    "env gc": EnvGc,
}
"""For ``refstack-worker``: words of the command to its class."""
