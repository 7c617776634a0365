"""How an attempt ends on this node, what follows from how its program ended, and how the end is reported."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass

from refstack_worker.contract.execute_test import BY_TIME_LIMIT, EndEvent, ExitCode, Reason, says_posted
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import (
    EnvironmentBuildError,
    ProcessError,
    RefstackError,
    RefusedError,
    RunError,
    ServerError,
    SpoolError,
    StoreError,
)
from refstack_worker.worker import logs
from refstack_worker.worker.attempt.stop_request import StopReason
from refstack_worker.worker.sandbox.runner import ProcessExit
from refstack_worker.worker.server_api.attempts import AttemptApi
from refstack_worker.worker.server_api.console import ConsoleSender
from refstack_worker.worker.server_api.heartbeat import Heartbeat
from refstack_worker.worker.server_api.reports import ReportQueue
from refstack_worker.worker.spool.spool import RELEASE, REPORT, Spool, SpoolEntry

LOG = logging.getLogger(__name__)

MAX_KILLED_ATTEMPTS = 3
"""A run whose processes are killed from outside, or that meets a full disk, is tried again on another node; one that
always meets that, fails."""
MAX_REASON = 64
MAX_MESSAGE = 2000
"""Characters of what a run gives as the reason of its end; the run's side is not trusted."""
REPORT_PATIENCE = 20.0
"""Seconds for which the slot waits until the server takes the final report; then the spool takes over."""


class OutcomeKind(enum.Enum):
    """What the node does with the attempt."""

    POSTED = "posted"
    """The server has the result."""
    SPOOLED = "spooled"
    """The result waits on this node until the server takes it."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Given up: the server makes the next attempt."""
    STOPPED = "stopped"
    """No longer this worker's; nothing is reported."""
    DROPPED = "dropped"
    """Never this worker's: the job could not be opened, or another worker had claimed it."""


FINAL_STATES = {OutcomeKind.FAILED: RunState.FAILED, OutcomeKind.CANCELLED: RunState.CANCELLED}


@dataclass(frozen=True)
class AttemptOutcome:
    """How an attempt ended, and whether this node may be the cause."""

    kind: OutcomeKind
    reason: str = ""
    """Fixed word for programs."""
    message: str = ""
    """A sentence for the vendor or the operator."""
    node_fault: bool = False
    """The cause may be this node: other nodes should get the next runs for a while."""


def after_stop(reason: StopReason, message: str, end: ProcessExit | None, last: EndEvent | None) -> AttemptOutcome:
    """Return the outcome of an attempt that had to end early."""
    if end is not None and says_posted(end.status, last):
        return AttemptOutcome(OutcomeKind.POSTED)  # it finished before the request took effect
    if reason is StopReason.CANCELLED:
        return AttemptOutcome(OutcomeKind.CANCELLED, "cancelled", "cancelled; all processes stopped")
    if reason is StopReason.TIMEOUT:
        return AttemptOutcome(OutcomeKind.FAILED, "timeout", message)
    if reason is StopReason.SHUTDOWN:
        return AttemptOutcome(OutcomeKind.RELEASED, "restart", message or "the worker is being stopped")
    if reason is StopReason.UNREACHABLE:
        text = f"this node could not reach the RefStack server: {message}"
        return AttemptOutcome(OutcomeKind.RELEASED, "server", text)
    return AttemptOutcome(OutcomeKind.STOPPED, message or "superseded")


def after_exit(end: ProcessExit, last: EndEvent | None, attempt: int) -> AttemptOutcome:
    """Return the outcome of an attempt whose program ended by itself.

    :param last: the program's final event; None: it wrote none.
    :param attempt: number of this attempt of the run.
    """
    reason, message = (last.reason[:MAX_REASON], last.message[:MAX_MESSAGE]) if last else ("", "")
    if says_posted(end.status, last):
        return AttemptOutcome(OutcomeKind.POSTED, reason, message)
    if end.status == ExitCode.NOT_POSTED and reason == Reason.REFUSED:
        return AttemptOutcome(OutcomeKind.FAILED, "result-refused", message)
    if end.status == ExitCode.NOT_POSTED:
        return AttemptOutcome(OutcomeKind.SPOOLED, Reason.NOT_POSTED.value, message)
    if end.status == ExitCode.STOPPED and message.startswith(BY_TIME_LIMIT):
        return AttemptOutcome(OutcomeKind.FAILED, "timeout", message)
    if end.status == ExitCode.SERVER:
        return AttemptOutcome(OutcomeKind.RELEASED, "server", message)
    if end.status == ExitCode.TEMPEST and reason == Reason.MACHINE:
        return AttemptOutcome(_retried(attempt), "machine", f"problem on this node: {message}", True)
    if end.status in (ExitCode.BAD_INPUT, ExitCode.CLOUD, ExitCode.TEMPEST):
        text = message or f"execute_test ended with status {end.status}"
        return AttemptOutcome(OutcomeKind.FAILED, reason or "run", text)
    if end.status is None and not end.lost:
        text = f"execute_test cannot be started on this node: {end.message[:MAX_MESSAGE]}"
        return AttemptOutcome(OutcomeKind.RELEASED, "run", text, True)
    return AttemptOutcome(_retried(attempt), "killed", _how_killed(end))


def after_error(error: RefstackError, mismatched: bool) -> AttemptOutcome:
    """Return the outcome of an attempt that met an error on this node.

    :param mismatched: the run asks for something else than the Gearman function through which it came.
    """
    if isinstance(error, (StoreError, ProcessError, RunError)):
        return AttemptOutcome(OutcomeKind.RELEASED, error.reason, f"problem on this node: {error}", True)
    if error.reason == "version-unavailable" and not mismatched:
        return AttemptOutcome(OutcomeKind.RELEASED, error.reason, str(error), True)
    what = "no environment for this run: " if isinstance(error, EnvironmentBuildError) else ""
    return AttemptOutcome(OutcomeKind.FAILED, error.reason, f"{what}{error}")


def _retried(attempt: int) -> OutcomeKind:
    return OutcomeKind.RELEASED if attempt < MAX_KILLED_ATTEMPTS else OutcomeKind.FAILED


def _how_killed(end: ProcessExit) -> str:
    if end.status is not None and end.status < 0:
        return f"execute_test was killed by signal {-end.status} (out of memory?)"
    return end.message[:MAX_MESSAGE] if end.lost else f"execute_test ended with status {end.status}"


class AttemptReporter:
    """Reports on a claimed attempt: during the run through a queue, and its end once."""

    def __init__(self, api: AttemptApi, console_api: AttemptApi, heartbeat: Heartbeat, spool: Spool) -> None:
        """
        :param console_api: calls of the same attempt, over a connection of their own.
        """
        self.api = api
        self.heartbeat = heartbeat
        self.reports = ReportQueue(api)
        self.console = ConsoleSender(console_api, logs.SECRETS.mask)
        self.console.start()
        self._spool = spool
        self._outcome: AttemptOutcome | None = None

    def report_end(self, outcome: AttemptOutcome) -> AttemptOutcome:
        """Report the end after everything that is still queued; only messages may follow.

        :returns: the outcome that was reported first: a fault during the clean-up changes nothing.
        """
        if self._outcome is not None:
            return self._outcome
        self._outcome = outcome
        self.reports.close()
        self.console.close()
        self.heartbeat.stop()
        if outcome.kind in FINAL_STATES or outcome.kind is OutcomeKind.RELEASED:
            try:
                self._send(outcome)
            except RefusedError as error:
                LOG.info("%s", error)  # the server knows better: cancelled, superseded or finished meanwhile
            except ServerError as error:
                LOG.warning("%s; the spool will send it later", error)
                self._keep(outcome)
        return outcome

    def _send(self, outcome: AttemptOutcome) -> None:
        if outcome.kind is OutcomeKind.RELEASED:
            self.api.release(outcome.message or outcome.reason, REPORT_PATIENCE)
        else:
            report = Report(FINAL_STATES[outcome.kind], outcome.message, outcome.reason)
            self.api.report(report, REPORT_PATIENCE)

    def _keep(self, outcome: AttemptOutcome) -> None:
        state = FINAL_STATES.get(outcome.kind)
        claimed = self.api.claimed
        kind = REPORT if state else RELEASE
        status = state.value if state else ""
        entry = SpoolEntry.of(claimed, kind, status=status, reason=outcome.reason, message=outcome.message)
        try:
            self._spool.add(claimed, entry)
        except SpoolError as full:
            LOG.error("%s; the server will notice the missing heartbeats", full)
