"""A whole run: fetch, configure, run Tempest, keep the result, post it; or only the first half, as a check."""

from __future__ import annotations

from refstack_worker.contract.cloud_needs import concerning
from refstack_worker.contract.execute_test import POSTING, RUNNING, ExitCode, Reason
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.cloud.catalog import service_addresses
from refstack_worker.execute_test.failures import Failure, RunConclusion
from refstack_worker.execute_test.preparation import prepared
from refstack_worker.execute_test.programs import INTERRUPT
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.refstack_server import RefstackServer
from refstack_worker.execute_test.summary import Summary
from refstack_worker.execute_test.tempest.console import ServiceAddresses
from refstack_worker.execute_test.tempest.listing import TestFacts
from refstack_worker.execute_test.tempest.tempest_run import TempestRun
from refstack_worker.execute_test.tempest.verdict import judge
from refstack_worker.execute_test.tempest.workspace import Workspace


def whole_run(args: Arguments, events: EventWriter) -> RunConclusion:
    """Fetch, configure, run, keep, post."""
    workspace = Workspace(args.workdir)
    summary = Summary(args)
    try:
        workspace.create()
        verdict = _run_tests(args, workspace, summary, events)
        summary.write(verdict)
    except Failure as error:
        summary.write(RunConclusion.of(error))
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
    facts = TestFacts.read(args.known_tests, args.durations)
    with prepared(args, workspace, events, facts) as ready:
        discovery = ready.discovery
        summary.tempest_version, summary.cpid = ready.tempest.version, discovery.cpid
        services = ServiceAddresses(service_addresses(discovery.token))
        run = TempestRun(ready.tempest, workspace, ready.selection, ready.concurrency, events, services,
                         ready.gaps, facts, ready.plan, ready.waiting)  # fmt: skip

        def need_login() -> None:
            ready.need_login()
            events.state(RUNNING, f"Tempest {ready.tempest.version} at {discovery.conf['identity']['uri_v3']}")

        try:
            run.carry_out(need_login)
        finally:
            summary.counts = run.counter.counts
        INTERRUPT.time_limit_off()
        return judge(run, discovery.missing_services)


def check_cloud(args: Arguments, events: EventWriter) -> RunConclusion:
    """Log in, look at the cloud and report what is missing, without running a test."""
    workspace = Workspace(args.workdir)
    try:
        workspace.create()
        with prepared(args, workspace, events) as ready:
            ready.need_login()
    finally:
        if not args.keep:
            workspace.remove()
    summary = f"logged in to {ready.discovery.conf['identity']['uri_v3']}"
    if ready.plan.summary:
        summary += f"; {ready.plan.summary}"
    gaps = concerning(ready.gaps, ready.selection.entries)
    if not gaps:
        return RunConclusion(ExitCode.PASSED, Reason.PASSED, f"{summary}; nothing is missing")
    shown = "; ".join(gap.lacks for gap in gaps)
    what = f"{len(gaps)} thing{'s are' if len(gaps) > 1 else ' is'} missing"
    return RunConclusion(ExitCode.PASSED, Reason.PASSED, f"{summary}; {what}: {shown}")
