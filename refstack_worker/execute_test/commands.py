"""What a correct command line asks for: a whole run, a check, posting, or cleaning up.

Each run is a new process: modules that only one of the commands needs are imported where it starts.
"""

from __future__ import annotations

from refstack_worker.contract.execute_test import POSTING, SUBUNIT_FILE, ExitCode, Reason
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.failures import BadInput, RunConclusion
from refstack_worker.execute_test.log import SECRETS, open_log
from refstack_worker.execute_test.programs import INTERRUPT
from refstack_worker.execute_test.progress import EventWriter


def carry_out(args: Arguments, events: EventWriter) -> RunConclusion:
    """Open the log, listen to signals, and do what the arguments ask.

    :raises Failure: it cannot be done.
    """
    SECRETS.add(args.token)
    events.shows_console = args.verbosity > 0
    args.workdir.mkdir(parents=True, exist_ok=True)
    open_log(args.workdir, args.verbosity)
    INTERRUPT.grace = args.stop_grace
    INTERRUPT.arm(args.timeout)
    if args.post_only:
        return _post_only(args, events)
    if args.cleanup_only:
        from refstack_worker.execute_test.cleanup import clean_up

        return clean_up(args, events)
    from refstack_worker.execute_test.whole_run import check_cloud, whole_run

    return check_cloud(args, events) if args.check else whole_run(args, events)


def _post_only(args: Arguments, events: EventWriter) -> RunConclusion:
    """Post what an earlier call left behind."""
    from refstack_worker.execute_test.refstack_server import RefstackServer

    if not (args.workdir / SUBUNIT_FILE).is_file():
        raise BadInput(f"--post-only: {args.workdir} holds no result (no file named {SUBUNIT_FILE})")
    events.state(POSTING, str(args.workdir))
    RefstackServer(args).post(args.workdir)
    return RunConclusion(ExitCode.PASSED, Reason.PASSED, "result posted")
