"""``refstack-queue``: the server's side of the queue, and what vendors do with it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from refstack_worker.cli import api_client, app
from refstack_worker.config import server as config
from refstack_worker.config.server import ServerSettings

COMMANDS = {
    "standalone": "refstack_worker.cli.queue.standalone:Standalone",
    "api": "refstack_worker.cli.queue.serve:ServeApi",
    "monitor": "refstack_worker.cli.queue.serve:MonitorQueue",
    "db upgrade": "refstack_worker.cli.queue.admin:DbUpgrade",
    "db downgrade": "refstack_worker.cli.queue.admin:DbDowngrade",
    "db prune": "refstack_worker.cli.queue.admin:DbPrune",
    "db version": "refstack_worker.cli.queue.admin:DbVersion",
    "keys generate": "refstack_worker.cli.queue.admin:KeysGenerate",
    "keys show": "refstack_worker.cli.queue.admin:KeysShow",
    "keys rotate": "refstack_worker.cli.queue.admin:KeysRotate",
    "pause": "refstack_worker.cli.queue.admin:PauseQueue",
    "resume": "refstack_worker.cli.queue.admin:ResumeQueue",
    "status": "refstack_worker.cli.queue.admin:QueueStatus",
    "worker list": "refstack_worker.cli.queue.admin:WorkerList",
    "token create": "refstack_worker.cli.queue.admin:TokenCreate",
    "token list": "refstack_worker.cli.queue.admin:TokenList",
    "token revoke": "refstack_worker.cli.queue.admin:TokenRevoke",
    "run create": "refstack_worker.cli.queue.runs:RunCreate",
    "run list": "refstack_worker.cli.queue.runs:RunList",
    "run show": "refstack_worker.cli.queue.runs:RunShow",
    "run watch": "refstack_worker.cli.queue.runs:RunWatch",
    "run cancel": "refstack_worker.cli.queue.runs:RunCancel",
    "run rerun": "refstack_worker.cli.queue.runs:RunRerun",
    "run report": "refstack_worker.cli.queue.runs:RunReport",
    "cloud list": "refstack_worker.cli.queue.users:CloudList",
    "cloud create": "refstack_worker.cli.queue.users:CloudCreate",
    "cloud check": "refstack_worker.cli.queue.users:CheckCloud",
    "guideline list": "refstack_worker.cli.queue.users:GuidelineList",
    "guideline add": "refstack_worker.cli.queue.users:GuidelineAdd",
    "run verdict": "refstack_worker.cli.queue.users:RunVerdict",
    "run export": "refstack_worker.cli.queue.users:RunExport",
    "vendor list": "refstack_worker.cli.queue.users:VendorList",
    "vendor create": "refstack_worker.cli.queue.users:VendorCreate",
    "user list": "refstack_worker.cli.queue.users:UserList",
    "user create": "refstack_worker.cli.queue.users:UserCreate",
    "worker demand": "refstack_worker.cli.queue.users:WorkerDemand",
}
"""Where each command is; it is imported when it is wanted: 'run …' needs neither Flask nor SQLAlchemy."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that stand before the command."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"refstack.cfg of the server (REFSTACK_CFG; default: {config.FILE})"
    )
    api_client.add_options(parser)


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
