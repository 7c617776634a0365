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
    "standalone": "refstack_worker.cli.queue.standalone.command:Standalone",
    "api": "refstack_worker.cli.queue.serve:ServeApi",
    "monitor": "refstack_worker.cli.queue.serve:MonitorQueue",
    "db upgrade": "refstack_worker.cli.queue.database:DbUpgrade",
    "db downgrade": "refstack_worker.cli.queue.database:DbDowngrade",
    "db prune": "refstack_worker.cli.queue.database:DbPrune",
    "db version": "refstack_worker.cli.queue.database:DbVersion",
    "keys generate": "refstack_worker.cli.queue.keys:KeysGenerate",
    "keys show": "refstack_worker.cli.queue.keys:KeysShow",
    "keys rotate": "refstack_worker.cli.queue.keys:KeysRotate",
    "pause": "refstack_worker.cli.queue.queue_state:PauseQueue",
    "resume": "refstack_worker.cli.queue.queue_state:ResumeQueue",
    "status": "refstack_worker.cli.queue.queue_state:QueueStatus",
    "doctor": "refstack_worker.cli.queue.doctor:DiagnoseQueue",
    "worker list": "refstack_worker.cli.queue.nodes:WorkerList",
    "worker pause": "refstack_worker.cli.queue.nodes:WorkerPause",
    "worker resume": "refstack_worker.cli.queue.nodes:WorkerResume",
    "worker drain": "refstack_worker.cli.queue.nodes:WorkerDrain",
    "token create": "refstack_worker.cli.queue.tokens:TokenCreate",
    "token list": "refstack_worker.cli.queue.tokens:TokenList",
    "token revoke": "refstack_worker.cli.queue.tokens:TokenRevoke",
    "run create": "refstack_worker.cli.queue.runs.commands:RunCreate",
    "run list": "refstack_worker.cli.queue.runs.commands:RunList",
    "run show": "refstack_worker.cli.queue.runs.commands:RunShow",
    "run watch": "refstack_worker.cli.queue.runs.commands:RunWatch",
    "run cancel": "refstack_worker.cli.queue.runs.commands:RunCancel",
    "run rerun": "refstack_worker.cli.queue.runs.commands:RunRerun",
    "run report": "refstack_worker.cli.queue.runs.commands:RunReport",
    "cloud list": "refstack_worker.cli.queue.clouds:CloudList",
    "cloud create": "refstack_worker.cli.queue.clouds:CloudCreate",
    "cloud update": "refstack_worker.cli.queue.clouds:CloudUpdate",
    "cloud check": "refstack_worker.cli.queue.clouds:CheckCloud",
    "guideline list": "refstack_worker.cli.queue.guidelines:GuidelineList",
    "guideline show": "refstack_worker.cli.queue.guidelines:GuidelineShow",
    "guideline delete": "refstack_worker.cli.queue.guidelines:GuidelineDelete",
    "guideline tests": "refstack_worker.cli.queue.guidelines:GuidelineTests",
    "guideline add": "refstack_worker.cli.queue.guidelines:GuidelineAdd",
    "run verdict": "refstack_worker.cli.queue.runs.results:RunVerdict",
    "run export": "refstack_worker.cli.queue.runs.results:RunExport",
    "vendor list": "refstack_worker.cli.queue.accounts:VendorList",
    "vendor create": "refstack_worker.cli.queue.accounts:VendorCreate",
    "user list": "refstack_worker.cli.queue.accounts:UserList",
    "user create": "refstack_worker.cli.queue.accounts:UserCreate",
    "run upload": "refstack_worker.cli.queue.runs.upload:RunUpload",
    "run import": "refstack_worker.cli.queue.runs.importing:RunImport",
    "run sign-request": "refstack_worker.cli.queue.runs.upload:RunSignRequest",
    "key proof": "refstack_worker.cli.queue.upload_keys:KeyProof",
    "key set": "refstack_worker.cli.queue.upload_keys:KeySet",
    "key show": "refstack_worker.cli.queue.upload_keys:KeyShow",
    "key delete": "refstack_worker.cli.queue.upload_keys:KeyDelete",
    "verify": "refstack_worker.cli.queue.runs.verify:VerifyVerdict",
    "notification list": "refstack_worker.cli.queue.notifications:NotificationList",
    "notification create": "refstack_worker.cli.queue.notifications:NotificationCreate",
    "notification delete": "refstack_worker.cli.queue.notifications:NotificationDelete",
    "notification pause": "refstack_worker.cli.queue.notifications:NotificationPause",
    "notification resume": "refstack_worker.cli.queue.notifications:NotificationResume",
    "notification test": "refstack_worker.cli.queue.notifications:NotificationTest",
    "notification log": "refstack_worker.cli.queue.notifications:NotificationLog",
    "worker demand": "refstack_worker.cli.queue.demand:WorkerDemand",
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


PROGRAM = app.CliProgram(
    "refstack-queue",
    "RefStack's queue of test runs. 'run', 'cloud', 'guideline', 'notification', 'vendor', 'user' and 'worker demand' "
    "talk to the API: they need --url and --token-file. The rest needs the server's refstack.cfg; 'standalone' makes "
    "its own.",
    COMMANDS,
    add_options,
    load_settings,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``refstack-queue`` and return its exit status."""
    return app.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
