"""``refstack-worker spool …``: what the server has not accepted yet."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any

from cliff.lister import Lister

from refstack_worker.cli.worker.daemon import POLL_SECONDS, DaemonCommand, Unhealthy, settings_of, utc
from refstack_worker.worker.spool.spool import Spool, SpoolEntry


class SpoolList(Lister):
    """List what the server has not accepted yet: results, and how runs ended."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        settings = settings_of(self.app)
        spool = Spool(settings.spool_folder, settings.spool)
        columns = ("Run", "Kind", "Server", "Since", "Tries", "Next try", "Error")
        return columns, [_spool_row(entry) for entry in spool.entries()]


class SpoolFlush(DaemonCommand):
    """Send everything in the spool now; wait until each entry is sent or has failed again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--wait", type=float, default=60.0, metavar="S", help="seconds to wait (default: 60)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        settings = settings_of(self.app)
        spool = Spool(settings.spool_folder, settings.spool)
        tries = {entry.name: entry.tries for entry in spool.entries()}
        self.ask("flush")
        deadline = time.monotonic() + parsed_args.wait
        while time.monotonic() < deadline:
            left = [entry for entry in spool.entries() if entry.name in tries]
            if all(entry.tries > tries[entry.name] for entry in left):
                break
            time.sleep(POLL_SECONDS)
        left = [entry for entry in spool.entries() if entry.name in tries]
        self.app.stdout.write(f"{len(tries) - len(left)} sent, {len(left)} left\n")
        if left:
            raise Unhealthy("; ".join(f"{entry.run}: {entry.error or 'not tried yet'}" for entry in left[:5]))


def _spool_row(entry: SpoolEntry) -> tuple[Any, ...]:
    return (
        entry.run, entry.kind, entry.callback, utc(entry.since), entry.tries, utc(entry.next_try), entry.error,
    )  # fmt: skip
