"""``refstack-worker env warm``: makes every version that this node can build ready before a run needs it."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from cliff.lister import Lister

from refstack_worker.cli.worker.environments import collect, scratch_folder, settings_of
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Offer
from refstack_worker.environments.environment import Environment
from refstack_worker.errors import EnvironmentBuildError, RefstackError

LOG = logging.getLogger(__name__)


class EnvWarm(Lister):
    """Fill the store for all versions that this node can build, or for VERSION..., and check that each lists tests.

    Versions that are ready are skipped. Exits with an error if one cannot be made ready.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("versions", nargs="*", metavar="VERSION", help="only these Tempest versions")
        parser.add_argument(
            "--collect", action="store_true", help="then remove from the store what no lock and no environment uses"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        settings = settings_of(self.app)
        catalogue = Catalogue(settings)
        catalogue.refresh()
        offers = [
            offer for offer in catalogue.offers() if not parsed_args.versions or offer.version in parsed_args.versions
        ]
        self._missing = sorted(set(parsed_args.versions) - {offer.version for offer in offers})
        rows = [_warm(offer, settings) for offer in offers if not offer.problem or parsed_args.versions]
        self._failed = [row for row in rows if row[-1]]
        return ("Version", "Plugins", "Done", "Tests", "Seconds", "Problem"), rows

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the result, then fail if a version is not ready."""
        super().run(parsed_args)
        if parsed_args.collect:
            self.app.stdout.write(f"{collect(settings_of(self.app), 0)}\n")
        if self._missing:
            raise EnvironmentBuildError(f"{', '.join(self._missing)}: not on this node; see 'refstack-worker versions'")
        if self._failed:
            raise EnvironmentBuildError("; ".join(f"Tempest {row[0]}: {row[-1]}" for row in self._failed))
        return 0


def _warm(offer: Offer, settings: EnvironmentSettings) -> tuple[Any, ...]:
    plugins = " ".join(f"{name}=={version}" for name, version in offer.plugins)
    if offer.problem:
        return offer.version, plugins, "not possible", 0, 0.0, offer.problem
    if offer.warm and offer.tests:
        return offer.version, plugins, "was warm", offer.tests, 0.0, ""
    began = time.monotonic()
    try:
        with scratch_folder(settings) as scratch:
            environment = Environment(offer, settings, scratch / "env")
            tests = environment.__enter__().tests
            environment.remove()
    except RefstackError as error:
        return offer.version, plugins, "failed", 0, round(time.monotonic() - began, 3), str(error)
    return offer.version, plugins, "made warm", tests, round(time.monotonic() - began, 3), ""
