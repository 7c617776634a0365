"""``refstack-queue``: the server's side of the queue, and what vendors do with it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from refstack_worker.cli import app, http_client
from refstack_worker.config import server as config
from refstack_worker.config.server import ServerSettings

COMMANDS = {
    "standalone": "refstack_worker.cli.queue_standalone:Standalone",
    "api": "refstack_worker.cli.queue_serve:Api",
    "monitor": "refstack_worker.cli.queue_serve:MonitorQueue",
    "db upgrade": "refstack_worker.cli.queue_admin:DbUpgrade",
    "db downgrade": "refstack_worker.cli.queue_admin:DbDowngrade",
    "db prune": "refstack_worker.cli.queue_admin:DbPrune",
    "db version": "refstack_worker.cli.queue_admin:DbVersion",
    "keys generate": "refstack_worker.cli.queue_admin:KeysGenerate",
    "keys show": "refstack_worker.cli.queue_admin:KeysShow",
    "keys rotate": "refstack_worker.cli.queue_admin:KeysRotate",
    "pause": "refstack_worker.cli.queue_admin:Pause",
    "resume": "refstack_worker.cli.queue_admin:Resume",
    "status": "refstack_worker.cli.queue_admin:Status",
    "worker list": "refstack_worker.cli.queue_admin:WorkerList",
    "token create": "refstack_worker.cli.queue_admin:TokenCreate",
    "token list": "refstack_worker.cli.queue_admin:TokenList",
    "token revoke": "refstack_worker.cli.queue_admin:TokenRevoke",
    "run create": "refstack_worker.cli.queue_runs:RunCreate",
    "run list": "refstack_worker.cli.queue_runs:RunList",
    "run show": "refstack_worker.cli.queue_runs:RunShow",
    "run watch": "refstack_worker.cli.queue_runs:RunWatch",
    "run cancel": "refstack_worker.cli.queue_runs:RunCancel",
    "run rerun": "refstack_worker.cli.queue_runs:RunRerun",
    "run report": "refstack_worker.cli.queue_runs:RunReport",
    "cloud list": "refstack_worker.cli.queue_users:CloudList",
    "cloud create": "refstack_worker.cli.queue_users:CloudCreate",
    "cloud check": "refstack_worker.cli.queue_users:CloudCheck",
    "guideline list": "refstack_worker.cli.queue_users:GuidelineList",
    "guideline add": "refstack_worker.cli.queue_users:GuidelineAdd",
    "run verdict": "refstack_worker.cli.queue_users:RunVerdict",
    "run export": "refstack_worker.cli.queue_users:RunExport",
    "vendor list": "refstack_worker.cli.queue_users:VendorList",
    "vendor create": "refstack_worker.cli.queue_users:VendorCreate",
    "user list": "refstack_worker.cli.queue_users:UserList",
    "user create": "refstack_worker.cli.queue_users:UserCreate",
    "worker demand": "refstack_worker.cli.queue_users:WorkerDemand",
}
"""Where each command is; it is imported when it is wanted: 'run …' needs neither Flask nor SQLAlchemy."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that stand before the command."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"refstack.cfg of the server (REFSTACK_CFG; default: {config.FILE})"
    )
    http_client.add_options(parser)


def load_settings(options: argparse.Namespace) -> ServerSettings:
    """Return the server's settings. :raises ConfigError: they cannot be read or are not right."""
    return config.load(options.config)


PROGRAM = app.Program(
    "refstack-queue",
    "RefStack's queue of test runs. 'run', 'cloud', 'guideline', 'vendor', 'user' and 'worker demand' talk to the API: "
    "they need --url and --token-file. The rest needs the server's refstack.cfg; 'standalone' makes its own.",
    COMMANDS,
    add_options,
    load_settings,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``refstack-queue`` and return its exit status."""
    return app.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
