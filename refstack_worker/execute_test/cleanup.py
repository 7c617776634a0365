"""``--cleanup-only``: removes from the cloud what a stopped run left there."""

from __future__ import annotations

from refstack_worker.contract.execute_test import ExitCode, Reason
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.cloud.cleanup.leftovers import Leftovers
from refstack_worker.execute_test.cloud.cleanup.removal import Removal
from refstack_worker.execute_test.cloud.discovery import discover
from refstack_worker.execute_test.cloud.keystone import Keystone, acting_user, ordinary_users, sensible_answers
from refstack_worker.execute_test.failures import CloudFailure, RunConclusion, ServerFailure
from refstack_worker.execute_test.log import LOG
from refstack_worker.execute_test.preparation import requested_conf
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.tempest.conf import COMMON_CONF, Conf, check_conf, merge, read_conf
from refstack_worker.execute_test.tempest.workspace import Workspace


def clean_up(args: Arguments, events: EventWriter) -> RunConclusion:
    """Remove what carries the prefix of a run, and what its log shows that it made."""
    workspace = Workspace(args.workdir)
    removal = Removal(events)
    try:
        _remove_all(args, workspace, removal)
    finally:
        workspace.keep_log()
        if not args.keep:
            workspace.remove()
    if removal.remaining:
        remaining = ", ".join(removal.remaining[:20])
        raise CloudFailure(f"{removal.removed} removed, {len(removal.remaining)} could not be removed: {remaining}")
    message = f"{removal.removed} leftovers removed; nothing named {args.prefix} remains"
    return RunConclusion(ExitCode.PASSED, Reason.PASSED, message)


def _remove_all(args: Arguments, workspace: Workspace, removal: Removal) -> None:
    requested = _conf_of_run(args, workspace)
    keystone = Keystone(requested)
    discovery = discover(requested, keystone)
    region = str(discovery.conf["identity"].get("region") or "")
    is_admin = not discovery.accounts
    users = [acting_user(merge(discovery.conf, requested))] if is_admin else ordinary_users(requested)
    for user in users:
        with sensible_answers():
            leftovers = Leftovers(keystone, user, args.prefix, removal, region, is_admin)
            leftovers.remove(workspace.folder, [workspace.running_log, workspace.kept_log])


def _conf_of_run(args: Arguments, workspace: Workspace) -> Conf:
    """Return the configuration of the run that left something: its own file if it is still there."""
    if workspace.conf.is_file():
        kept = read_conf(workspace.conf)
        kept["DEFAULT"] = {}
        return merge(check_conf(kept, str(workspace.conf)), args.conf_json)
    try:
        return requested_conf(args)
    except ServerFailure as error:
        # the server forgets a run that is over; the vendor's own part may be enough
        LOG.warning("%s; continuing with --conf-json only", error)
        return merge(COMMON_CONF, args.conf_json)
