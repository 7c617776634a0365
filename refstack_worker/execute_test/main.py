"""Run one interoperability test: fetch, configure, run Tempest, post the result.

The contract with the server and with a worker (arguments, files, events, exit codes) is ``docs/protocol.md``; the
guide for people is ``docs/execute_test.md``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from refstack_worker.contract.execute_test import POSTING, RUNNING, SUBUNIT_FILE, ExitCode, Reason
from refstack_worker.execute_test.arguments import Arguments, parse_arguments, wants_json_progress
from refstack_worker.execute_test.cleanup import clean_up
from refstack_worker.execute_test.cloud.catalog import service_addresses
from refstack_worker.execute_test.failures import BadInput, Failure, MachineFailure
from refstack_worker.execute_test.log import LOG, SECRETS, open_log
from refstack_worker.execute_test.preparation import prepare
from refstack_worker.execute_test.programs import INTERRUPT
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.refstack_server import RefstackServer
from refstack_worker.execute_test.summary import Summary
from refstack_worker.execute_test.tempest.console import ServiceAddresses
from refstack_worker.execute_test.tempest.tempest_run import TempestRun
from refstack_worker.execute_test.tempest.verdict import RunConclusion, judge
from refstack_worker.execute_test.tempest.workspace import Workspace


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks; returns the exit code of ``docs/exit-codes.md``."""
    words = list(sys.argv[1:] if argv is None else argv)
    events = EventWriter(wants_json_progress(words), sys.stdout)
    os.umask(0o077)
    try:
        verdict = _carry_out(words, events)
    except Failure as error:
        verdict = _verdict_of(error)
    except OSError as error:
        verdict = _verdict_of(MachineFailure(f"this machine: {error}"))
    code, reason, message = verdict
    if LOG.handlers:
        (LOG.info if code == ExitCode.PASSED else LOG.error)("%s: %s", reason.value, message)
    elif not events.as_json:  # nothing was started: the message is all there is, once
        print(f"execute_test: {reason.value}: {SECRETS.mask(message)}", file=sys.stderr)
        return int(code)
    events.end(code, reason, message)
    return int(code)


def _carry_out(words: Sequence[str], events: EventWriter) -> RunConclusion:
    """Choose between posting, cleaning up and a whole run."""
    args = parse_arguments(words)
    SECRETS.add(args.token)
    events.shows_console = args.verbosity > 0
    args.workdir.mkdir(parents=True, exist_ok=True)
    open_log(args.workdir, args.verbosity)
    INTERRUPT.grace = args.stop_grace
    INTERRUPT.arm(args.timeout)
    if args.post_only:
        return _post_only(args, events)
    if args.cleanup_only:
        return clean_up(args, events)
    if args.check:
        return _check(args, events)
    return _whole_run(args, events)


def _whole_run(args: Arguments, events: EventWriter) -> RunConclusion:
    """Fetch, configure, run, keep, post."""
    workspace = Workspace(args.workdir)
    summary = Summary(args)
    try:
        workspace.create()
        verdict = _run_tests(args, workspace, summary, events)
        summary.write(verdict)
    except Failure as error:
        summary.write(_verdict_of(error))
        raise
    finally:
        workspace.keep_log()
        if not args.keep:
            workspace.remove()
    if args.callback:
        events.state(POSTING, verdict.message)
        RefstackServer(args).post(args.workdir)
    return verdict


def _run_tests(args: Arguments, workspace: Workspace, summary: Summary, events: EventWriter) -> RunConclusion:
    prepared = prepare(args, workspace, events)
    summary.tempest_version, summary.cpid = prepared.tempest.version, prepared.discovery.cpid
    services = ServiceAddresses(service_addresses(prepared.discovery.token))
    run = TempestRun(prepared.tempest, workspace, prepared.selection, prepared.concurrency, events, services)
    keystone = prepared.discovery.conf["identity"]["uri_v3"]
    events.state(RUNNING, f"Tempest {prepared.tempest.version} at {keystone}")
    try:
        run.carry_out()
    finally:
        summary.counts = run.counter.counts
    INTERRUPT.time_limit_off()
    return judge(run, prepared.discovery.missing_services)


def _check(args: Arguments, events: EventWriter) -> RunConclusion:
    """Log in, look at the cloud and report what is missing, without running a test."""
    workspace = Workspace(args.workdir)
    try:
        workspace.create()
        prepared = prepare(args, workspace, events)
    finally:
        if not args.keep:
            workspace.remove()
    missing = [f"no {name} in the catalogue" for name in prepared.discovery.missing_services]
    problems = len(prepared.gaps) + len(missing)
    summary = f"logged in to {prepared.discovery.conf['identity']['uri_v3']}"
    if not problems:
        return RunConclusion(ExitCode.PASSED, Reason.PASSED, f"{summary}; nothing is missing")
    shown = "; ".join([*missing, *(gap.partition(";")[0] for gap in prepared.gaps)])
    return RunConclusion(ExitCode.PASSED, Reason.PASSED, f"{summary}; {problems} things are missing: {shown}")


def _post_only(args: Arguments, events: EventWriter) -> RunConclusion:
    """Post what an earlier call left behind."""
    if not (args.workdir / SUBUNIT_FILE).is_file():
        raise BadInput(f"--post-only: {args.workdir} holds no result (no file named {SUBUNIT_FILE})")
    events.state(POSTING, str(args.workdir))
    RefstackServer(args).post(args.workdir)
    return RunConclusion(ExitCode.PASSED, Reason.PASSED, "result posted")


def _verdict_of(failure: Failure) -> RunConclusion:
    return RunConclusion(failure.exit_code, failure.reason, str(failure))


if __name__ == "__main__":
    sys.exit(main())
