"""``--cleanup-only``: removes from the cloud what a stopped run left there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from refstack_worker.contract.execute_test import ExitCode, Reason
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.cloud.discovery import discover
from refstack_worker.execute_test.cloud.keystone import Keystone, acting_user
from refstack_worker.execute_test.cloud.leftovers import Leftovers
from refstack_worker.execute_test.cloud.removal import Removal
from refstack_worker.execute_test.cloud.run_traces import with_dash
from refstack_worker.execute_test.failures import CloudFailure, ServerFailure
from refstack_worker.execute_test.log import LOG
from refstack_worker.execute_test.preparation import requested_conf
from refstack_worker.execute_test.programs import started
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.tempest.conf import COMMON_CONF, Conf, check_conf, merge, read_conf, write_conf
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.verdict import Verdict
from refstack_worker.execute_test.tempest.workspace import Workspace

CLEANED_BY_TEMPEST = ("nova", "glance", "neutron", "cinder")
"""Services that ``tempest cleanup`` handles; without any of these, its start of two seconds is wasted."""


def clean_up(args: Arguments, events: EventWriter) -> Verdict:
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
        raise CloudFailure(f"{removal.removed} removed, {len(removal.remaining)} could not be: {remaining}")
    message = f"{removal.removed} leftovers removed; nothing with {args.prefix} remains"
    return Verdict(ExitCode.PASSED, Reason.PASSED, message)


def _remove_all(args: Arguments, workspace: Workspace, removal: Removal) -> None:
    assert args.tempest_home is not None  # noqa: S101 - the command line was checked
    requested = _conf_of_run(args, workspace)
    keystone = Keystone(requested)
    discovery = discover(requested, keystone)
    conf = merge(discovery.conf, requested)
    leftovers = Leftovers(keystone, acting_user(conf), args.prefix, removal)
    tempest = Tempest.find(args.tempest_home)
    if not discovery.accounts and tempest.cleanup_prefix and offers_any(conf, CLEANED_BY_TEMPEST):
        _tempest_cleanup(tempest, workspace, conf, args.prefix, removal)
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


def offers_any(conf: Conf, services: Iterable[str]) -> bool:
    """Return whether, by its configuration, the cloud has one of these services."""
    available = conf.get("service_available", {})
    return any(str(available.get(name, "")).lower() in ("true", "1", "yes", "on") for name in services)


def _tempest_cleanup(tempest: Tempest, workspace: Workspace, conf: Conf, prefix: str, removal: Removal) -> None:
    """Let Tempest remove servers, volumes, networks and the like that carry the prefix."""
    workspace.create()
    forced = workspace.forced_conf(prefix)
    forced["DEFAULT"]["log_file"] = "cleanup.log"
    write_conf(workspace.conf, merge(conf, forced))
    words: list[str | Path] = [tempest.program, "cleanup", "--prefix", with_dash(prefix)]
    words += ["--config-file", workspace.conf]
    with started(words, workspace.scratch / "cleanup", workspace.environment(tempest)) as process:
        output = b"".join(process.communicate()).decode("utf-8", "replace")
    for line in output.splitlines():
        LOG.debug("tempest cleanup: %s", line)
    if process.returncode:
        last = (output.strip().splitlines() or ["no output"])[-1]
        removal.failed("what tempest cleanup handles", f"it ended with status {process.returncode}: {last[:300]}")
