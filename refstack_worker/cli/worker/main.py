"""``refstack-worker``: runs the worker of a node, and its operator's commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from refstack_worker.cli import app
from refstack_worker.config import worker as config
from refstack_worker.config.worker import WorkerSettings

_ENV = "refstack_worker.cli.worker.environments"
_NODE = "refstack_worker.cli.worker.daemon"
_SPOOL = "refstack_worker.cli.worker.spool"

COMMANDS: dict[str, str] = {
    "run": f"{_NODE}:RunWorker",
    "status": f"{_NODE}:Status",
    "drain": f"{_NODE}:Drain",
    "pause": f"{_NODE}:Pause",
    "resume": f"{_NODE}:Resume",
    "health": f"{_NODE}:Health",
    "metrics": f"{_NODE}:Metrics",
    "enrol": "refstack_worker.cli.worker.enrol:Enrol",
    "config check": "refstack_worker.cli.worker.config_check:ConfigCheck",
    "doctor": "refstack_worker.cli.worker.doctor:Doctor",
    "selftest": "refstack_worker.cli.worker.selftest:SelfTest",
    "spool list": f"{_SPOOL}:SpoolList",
    "spool flush": f"{_SPOOL}:SpoolFlush",
    "versions": f"{_ENV}:Versions",
    "env build": f"{_ENV}:EnvBuild",
    "env warm": "refstack_worker.cli.worker.env_warm:EnvWarm",
    "env list": f"{_ENV}:EnvList",
    "env verify": f"{_ENV}:EnvVerify",
    "env gc": f"{_ENV}:EnvGc",
}
"""Module and class of each command, imported when it is used."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that come before the command."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"worker.toml (REFSTACK_WORKER_CONFIG; default: {config.FILE})"
    )


def load_settings(options: argparse.Namespace) -> WorkerSettings:
    """Return the worker's settings. :raises ConfigError: they are unreadable or wrong."""
    return config.load(options.config)


PROGRAM = app.CliProgram(
    "refstack-worker",
    "A node of RefStack's test queue: takes runs, builds the Tempest environment, runs it, reports, and cleans up.",
    COMMANDS,
    add_options,
    load_settings,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``refstack-worker`` and return its exit status."""
    return app.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
