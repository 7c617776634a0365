"""``refstack-worker selftest``: a small but complete run, through the queue."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from cliff.show import ShowOne

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.errors import RunError, UsageError
from refstack_worker.worker.doctor import selftest


class SelfTest(ShowOne):
    """Check that this node works: run a few Tempest tests through gearmand, against a simulated server and cloud.

    Run it as the worker's user: runuser -u refstack-worker -- refstack-worker selftest 47.0.0. Other runs continue;
    only this command gets the run.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "version", metavar="VERSION", help="Tempest version, as 'refstack-worker versions' lists it"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        settings: Any = getattr(self.app, "settings", None)
        assert isinstance(settings, WorkerSettings)  # noqa: S101 - for the type checker
        if os.geteuid() == 0 and settings.run.runner != "embedded":
            raise UsageError(
                "as root it would leave files of root in the store; run it as the worker's user: "
                f"runuser -u refstack-worker -- refstack-worker selftest {parsed_args.version}"
            )
        self._outcome = selftest.run(settings, parsed_args.version)
        shown = dataclasses.asdict(self._outcome)
        return tuple(shown), tuple(shown.values())

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the outcome, then fail if it did not pass."""
        super().run(parsed_args)
        if self._outcome.state != "finished":
            raise RunError(f"the self-test run ended as {self._outcome.state}: {self._outcome.message}")
        return 0
