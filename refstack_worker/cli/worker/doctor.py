"""``refstack-worker doctor``: checks this node."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from cliff.lister import Lister

from refstack_worker.cli.worker.daemon import Unhealthy, settings_of
from refstack_worker.worker.doctor import checks
from refstack_worker.worker.doctor.finding import BAD


class Doctor(Lister):
    """Check this node for common problems and say how to fix them; exits with 1 if there is one.

    Run it as root or as the worker's user. It changes nothing.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        settings = settings_of(self.app)
        self._findings = checks.examine(settings)
        return ("Check", "Result", "Found", "To do"), [
            (finding.check, finding.result, finding.found, finding.todo) for finding in self._findings
        ]

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the findings, then fail if one is bad."""
        super().run(parsed_args)
        bad = [finding.check for finding in self._findings if finding.result == BAD]
        if bad:
            raise Unhealthy(f"{len(bad)} of {len(self._findings)} checks failed: {', '.join(bad)}")
        return 0
