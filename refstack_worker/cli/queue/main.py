"""``refstack-queue``: the server's side of the queue, and what vendors do with it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from refstack_worker.cli import api_client, app
from refstack_worker.config import refstack_cfg
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
    "config check": "refstack_worker.cli.queue.config_check:ServerConfigCheck",
    "doctor": "refstack_worker.cli.queue.doctor:DiagnoseQueue",
    "backup create": "refstack_worker.cli.queue.backup:BackupCreate",
    "backup show": "refstack_worker.cli.queue.backup:BackupShow",
    "backup restore": "refstack_worker.cli.queue.backup:BackupRestore",
    "backup settle": "refstack_worker.cli.queue.backup:BackupSettle",
    "worker list": "refstack_worker.cli.queue.nodes:WorkerList",
    "worker show": "refstack_worker.cli.queue.nodes:WorkerShow",
    "worker pause": "refstack_worker.cli.queue.nodes:WorkerPause",
    "worker resume": "refstack_worker.cli.queue.nodes:WorkerResume",
    "worker drain": "refstack_worker.cli.queue.nodes:WorkerDrain",
    "worker forget": "refstack_worker.cli.queue.nodes:WorkerForget",
    "worker enrol": "refstack_worker.cli.queue.node_keys:WorkerEnrol",
    "worker keys": "refstack_worker.cli.queue.node_keys:WorkerKeys",
    "worker revoke": "refstack_worker.cli.queue.node_keys:WorkerRevoke",
    "worker demand": "refstack_worker.cli.queue.demand:WorkerDemand",
    "audit list": "refstack_worker.cli.queue.operators:AuditList",
    "announcement show": "refstack_worker.cli.queue.operators:AnnouncementShow",
    "announcement set": "refstack_worker.cli.queue.operators:AnnouncementSet",
    "vendor list": "refstack_worker.cli.queue.accounts:VendorList",
    "vendor create": "refstack_worker.cli.queue.accounts:VendorCreate",
    "vendor update": "refstack_worker.cli.queue.account_changes:VendorUpdate",
    "vendor disable": "refstack_worker.cli.queue.account_changes:VendorDisable",
    "vendor enable": "refstack_worker.cli.queue.account_changes:VendorEnable",
    "vendor delete": "refstack_worker.cli.queue.account_changes:VendorDelete",
    "user list": "refstack_worker.cli.queue.accounts:UserList",
    "user create": "refstack_worker.cli.queue.accounts:UserCreate",
    "user update": "refstack_worker.cli.queue.account_changes:UserUpdate",
    "user disable": "refstack_worker.cli.queue.account_changes:UserDisable",
    "user enable": "refstack_worker.cli.queue.account_changes:UserEnable",
    "user transfer": "refstack_worker.cli.queue.account_changes:UserTransfer",
    "user delete": "refstack_worker.cli.queue.account_changes:UserDelete",
    "user invite": "refstack_worker.cli.queue.accounts:UserInvite",
    "user forget-identity": "refstack_worker.cli.queue.accounts:UserForgetIdentity",
    "whoami": "refstack_worker.cli.queue.tokens:WhoAmI",
    "token create": "refstack_worker.cli.queue.tokens:TokenCreate",
    "token list": "refstack_worker.cli.queue.tokens:TokenList",
    "token delete": "refstack_worker.cli.queue.tokens:TokenDelete",
    "about": "refstack_worker.cli.queue.operators:ShowVersions",
    "token revoke": "refstack_worker.cli.queue.tokens:TokenRevoke",
    "run create": "refstack_worker.cli.queue.runs.create:RunCreate",
    "run list": "refstack_worker.cli.queue.runs.listing:RunList",
    "run show": "refstack_worker.cli.queue.runs.commands:RunShow",
    "run watch": "refstack_worker.cli.queue.runs.commands:RunWatch",
    "run log": "refstack_worker.cli.queue.runs.tests:RunLog",
    "run cancel": "refstack_worker.cli.queue.runs.commands:RunCancel",
    "run delete": "refstack_worker.cli.queue.runs.commands:RunDelete",
    "run rerun": "refstack_worker.cli.queue.runs.commands:RunRerun",
    "run report": "refstack_worker.cli.queue.runs.commands:RunReport",
    "run tests": "refstack_worker.cli.queue.runs.tests:RunTests",
    "run compare": "refstack_worker.cli.queue.runs.tests:RunCompare",
    "run verdict": "refstack_worker.cli.queue.runs.results:RunVerdict",
    "run export": "refstack_worker.cli.queue.runs.results:RunExport",
    "run pin": "refstack_worker.cli.queue.runs.pinning:RunPin",
    "run unpin": "refstack_worker.cli.queue.runs.pinning:RunUnpin",
    "run share": "refstack_worker.cli.queue.runs.sharing:RunShare",
    "run unshare": "refstack_worker.cli.queue.runs.sharing:RunUnshare",
    "run shares": "refstack_worker.cli.queue.runs.sharing:RunShares",
    "run upload": "refstack_worker.cli.queue.runs.upload:RunUpload",
    "run import": "refstack_worker.cli.queue.runs.importing:RunImport",
    "run sign-request": "refstack_worker.cli.queue.runs.upload:RunSignRequest",
    "link create": "refstack_worker.cli.queue.links:LinkCreate",
    "link list": "refstack_worker.cli.queue.links:LinkList",
    "link delete": "refstack_worker.cli.queue.links:LinkDelete",
    "badge create": "refstack_worker.cli.queue.links:BadgeCreate",
    "badge list": "refstack_worker.cli.queue.links:BadgeList",
    "badge delete": "refstack_worker.cli.queue.links:BadgeDelete",
    "matrix": "refstack_worker.cli.queue.links:ShowMatrix",
    "cloud list": "refstack_worker.cli.queue.clouds:CloudList",
    "cloud show": "refstack_worker.cli.queue.cloud_records:CloudShow",
    "cloud create": "refstack_worker.cli.queue.clouds:CloudCreate",
    "cloud update": "refstack_worker.cli.queue.clouds:CloudUpdate",
    "cloud delete": "refstack_worker.cli.queue.cloud_records:CloudDelete",
    "cloud check": "refstack_worker.cli.queue.clouds:CheckCloud",
    "cloud history": "refstack_worker.cli.queue.cloud_records:CloudHistory",
    "guideline list": "refstack_worker.cli.queue.guidelines:GuidelineList",
    "guideline show": "refstack_worker.cli.queue.guidelines:GuidelineShow",
    "guideline capabilities": "refstack_worker.cli.queue.guidelines:GuidelineCapabilities",
    "guideline tests": "refstack_worker.cli.queue.guidelines:GuidelineTests",
    "guideline add": "refstack_worker.cli.queue.guidelines:GuidelineAdd",
    "guideline delete": "refstack_worker.cli.queue.guidelines:GuidelineDelete",
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
    "notification secret": "refstack_worker.cli.queue.notifications:NotificationSecret",
    "notification test": "refstack_worker.cli.queue.notifications:NotificationTest",
    "notification log": "refstack_worker.cli.queue.notifications:NotificationLog",
    "schedule list": "refstack_worker.cli.queue.schedules:ScheduleList",
    "schedule create": "refstack_worker.cli.queue.schedules:ScheduleCreate",
    "schedule delete": "refstack_worker.cli.queue.schedules:ScheduleDelete",
    "schedule pause": "refstack_worker.cli.queue.schedules:SchedulePause",
    "schedule resume": "refstack_worker.cli.queue.schedules:ScheduleResume",
}
"""Where each command is; it is imported when it is called: 'run …' needs neither Flask nor SQLAlchemy."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that stand before the command."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"refstack.cfg of the server (REFSTACK_CFG; default: {refstack_cfg.FILE})",
    )
    api_client.add_options(parser)


def load_settings(options: argparse.Namespace) -> ServerSettings:
    """Return the server's settings. :raises ConfigError: they cannot be read or are not right."""
    return config.load(options.config)


PROGRAM = app.CliProgram(
    "refstack-queue",
    "RefStack's queue of test runs. 'run', 'cloud', 'guideline', 'link', 'badge', 'matrix', 'key', 'schedule' and "
    "'notification' call the API: they need --url and --token-file. 'token', 'whoami', 'vendor', 'user', 'worker', "
    "'audit', 'announcement', 'about', 'pause', 'resume' and 'status' do the same, from any machine, if a token is "
    "given. Without a token, or with --config, they use the database that the server's refstack.cfg names. 'verify' "
    "and 'key proof' need no server. The other commands run on the server; 'standalone' creates its own refstack.cfg.",
    COMMANDS,
    add_options,
    load_settings,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``refstack-queue`` and return its exit status."""
    return app.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
