"""How a run of Tempest ended."""

from __future__ import annotations

import re
from collections.abc import Sequence

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.contract.execute_test import ExitCode, Reason
from refstack_worker.execute_test.failures import (
    BadInput,
    CloudFailure,
    Failure,
    MachineFailure,
    RunConclusion,
    TempestFailure,
)
from refstack_worker.execute_test.tempest.tempest_run import TempestRun


def judge(run: TempestRun, missing_services: Sequence[str]) -> RunConclusion:
    """Return the verdict on a ``tempest run`` that ended by itself.

    :raises BadInput: the test cases select nothing.
    :raises TempestFailure: Tempest broke.
    :raises MachineFailure: Tempest broke on a full disk.
    :raises CloudFailure: the cloud lacks what every test needs.
    """
    counts = run.counter.counts
    _check_complete(run)
    reason = run.counter.skip_reason
    lacking = f"; its catalogue lacks {', '.join(missing_services)}" if missing_services else ""
    ends = _outcomes(run)
    message = f"{ends} (the first: {reason}{lacking})" if counts.skipped and reason else ends
    if counts.failed:
        return RunConclusion(ExitCode.TESTS_FAILED, Reason.TESTS_FAILED, f"{message}{_over_quota(run)}")
    if not counts.passed:
        reason = reason or "no reason given"
        raise CloudFailure(f"no test could run on this cloud, all {counts.skipped} were skipped: {reason}{lacking}")
    return RunConclusion(ExitCode.PASSED, Reason.PASSED, message)


def _over_quota(run: TempestRun) -> str:
    """Say how many failures are the quota's, and which quota was known to be too low."""
    tests = run.counter.over_quota
    if not tests:
        return ""
    known = next((f": {gap.lacks.partition(': ')[2]}" for gap in run.gaps if gap.need is Need.QUOTA), "")
    what = "test or class" if len(tests) == 1 else "tests or classes"
    return f"; {len(tests)} {what} failed because a quota of the cloud was exceeded{known}"


def _check_complete(run: TempestRun) -> None:
    running = run.counter.running
    if not run.counter.seen:
        if run.list_status == 0 and not run.names and run.selection.expressions:
            raise BadInput(f"the test cases match no test of Tempest {run.tempest.version}")
        raise _broken(run, f"Tempest ran no test (status {run.status})")
    if run.status not in (0, 1) or running or (run.status and not run.counter.counts.failed):
        unfinished = f"; unfinished: {', '.join(sorted(running)[:5])}" if running else ""
        raise _broken(run, f"Tempest stopped early (status {run.status}) after {_outcomes(run)}{unfinished}")


def _outcomes(run: TempestRun) -> str:
    counts = run.counter.counts
    if run.list_status == 0 and counts.done < counts.total:
        return f"{counts}, {counts.total - counts.done} not run"
    return str(counts)


def _broken(run: TempestRun, how: str) -> Failure:
    if run.disk_full:
        return MachineFailure(f"this machine: {run.disk_full}: {how}")
    return TempestFailure(f"{how}: {_last_error(run)}")


def _last_error(run: TempestRun) -> str:
    errors = [line for line in run.last_lines if re.search(r"rror|xception|annot|refused|invalid", line)]
    return ((errors or list(run.last_lines) or ["no output"])[-1])[:400]
